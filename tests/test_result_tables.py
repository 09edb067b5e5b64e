"""Tables of results as text, Markdown and CSV, and statistics over seeds."""

from pathlib import Path

import pandas as pd

from power_bert.result_tables import (
    WIDTH,
    csv_text,
    markdown_table,
    over_seeds,
    short_names,
    show_over_seeds,
    text_table,
    to_frame,
    wrap_lines,
    wrap_value,
)


def test_words_stand_at_the_left_and_numbers_at_the_right() -> None:
    rows = [("tiny", "9.50", "1.2"), ("a larger one", "99.50", "110.0")]
    assert text_table(to_frame(rows, ["model", "dev", "MB"])) == [
        "model           dev     MB",
        "tiny           9.50    1.2",
        "a larger one  99.50  110.0",
    ]
    assert text_table(to_frame([("b", "of")], ["a", "word"]), left=(0, 1)) == ["a  word", "b  of"]
    assert text_table(to_frame([], ["model", "MB"])) == ["model  MB"]


def test_a_wide_table_is_divided_into_several_that_fit_a_terminal() -> None:
    names = [f"column {number:02}" for number in range(12)]
    lines = text_table(to_frame([("tiny", 1, *range(12))], ["model", "seed", *names]), keys=2)
    assert [line.split()[:2] for line in lines] == [*([["model", "seed"], ["tiny", "1"], []] * 2)][:5]
    assert [name for name in names if sum(name in line for line in lines) == 1] == names
    assert 70 < max(map(len, lines)) <= WIDTH
    assert text_table(to_frame([("x" * 90, "y" * 90)], ["a", "b"]))[1:] == [f"{'x' * 90}  {'y' * 90}"], "no way"


def test_names_are_as_short_as_they_can_be() -> None:
    assert short_names([Path("/a/one.tflite"), Path("/b/two.tflite")]) == ["one.tflite", "two.tflite"]
    assert short_names([Path("/a/model"), Path("/b/model")]) == ["/a/model", "/b/model"]


def test_prose_fits_a_terminal() -> None:
    path = f"/folder/{'long-name' * 10}"
    assert wrap_lines(["", "short", f"{'word ' * 20}end", path]) == [
        *("", "short", " ".join(["word"] * 16), f"  {'word ' * 4}end", path)
    ]


def test_a_long_list_of_numbers_ends_a_line_behind_a_comma() -> None:
    fractions = ",".join(["0.1234"] * 11 + ["[CLS]"])
    lines = wrap_value("retention  ", f"{fractions} (the model's own)")
    assert lines == [f"retention  {fractions[:63]}", f"{' ' * 11}{fractions[63:]} (the model's own)"]
    assert wrap_value("scores  ", "accuracy 90.00") == ["scores  accuracy 90.00"]


def test_cells_of_csv_keep_their_type() -> None:
    frame = to_frame([{"seed": 0, "score": 0.1, "note": "x, y"}, {"seed": 1, "bytes": 12}])
    assert csv_text(frame) == 'seed,score,note,bytes\n0,0.1,"x, y",\n1,,,12\n'


def test_a_bar_does_not_end_a_cell_of_markdown() -> None:
    assert markdown_table(to_frame([("a|b", 1)], ["What", "Value"])) == ["| What | Value |", "|---|---|", "| a/b | 1 |"]


def test_statistics_over_seeds() -> None:
    rows = [("cnn", 0, 0.1), ("bag", 0, None), ("cnn", 1, 0.3), ("mlp", 0, 0.2), ("mlp", 1, 0.2), ("mlp", 2, None)]
    statistics = over_seeds(to_frame(rows, ["model", "seed", "score"]), ["model"], ["score"])
    assert list(statistics.index) == ["cnn", "bag", "mlp"], "in order of appearance"
    assert list(statistics["score", "count"]) == [2, 0, 2]
    shown = show_over_seeds(statistics, {"score": "{:+.2f}"})
    assert list(shown["score"]) == ["+0.20 ± 0.14", "-", "+0.20"]
    assert len(over_seeds(pd.DataFrame({"score": [1.0, 2.0]}), [], ["score"])) == 1
