"""One table of the user's own as train, dev and test data."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from power_bert.errors import UserError
from power_bert.text.custom_task import find_labels, make_custom_task
from power_bert.text.examples import data_fingerprint, has_split, read_examples, scored_split, stream_examples
from power_bert.text.table_source import TableSource, describe_table
from power_bert.text.task import SPLITS

TASK = make_custom_task(("text",), "topic", ("art", "rare", "sport"), "accuracy")


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("index", "text", "topic"), *(("7", *row) for row in rows)])
    return path


def usual(count: int) -> list[tuple[str, str]]:
    return [(f"text {number}", "art" if number % 4 else "sport") for number in range(count)]


def texts(path: Path) -> dict[str, list[str]]:
    return {split: read_examples(TASK, split, path).first for split in SPLITS}


def test_ten_percent_each_in_proportion_to_the_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", usual(400))
    found = {split: read_examples(TASK, split, path) for split in SPLITS}
    assert [len(examples) for examples in found.values()] == [320, 40, 40]
    for examples in found.values():
        assert examples.labels is not None
        counts = Counter(examples.labels.tolist())
        assert abs(counts[2] / len(examples) - 0.25) < 0.03
    every = [text for examples in found.values() for text in examples.first]
    assert sorted(every) == sorted(text for text, _ in usual(400)), "each row is in one split"


def test_the_split_is_the_same_at_every_call_and_does_not_follow_the_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", usual(200))
    first = texts(path)
    assert texts(write(tmp_path / "b.csv", usual(200))) == first
    assert first["dev"] != [f"text {number}" for number in range(len(first["dev"]))]
    assert [int(text.split()[1]) for text in first["train"]] == sorted(int(text.split()[1]) for text in first["train"])


def test_chunks_and_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", usual(100))
    whole, lines = texts(path)["train"], path.read_text().splitlines()
    chunks = list(stream_examples(TASK, "train", path, chunk_rows=7))
    assert [text for chunk in chunks for text in chunk.first] == whole and len(chunks) > 10
    for rows in TableSource(path).rows(TASK, "dev", 7):
        for row, text in enumerate(rows.texts[0]):
            assert f",{text}," in lines[rows.numbers[row] - 1]


def test_rows_with_the_same_text_stay_together(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", usual(60) * 3 + [("text 5", "sport")])
    found = {split: set(part) for split, part in texts(path).items()}
    assert not found["train"] & found["dev"] | found["train"] & found["test"] | found["dev"] & found["test"]
    source = TableSource(path)
    said = list(describe_table(source, TASK))
    assert said[0].startswith("a.csv: one file, so TASK=custom; texts from column 'text', labels from 'topic' (TEXT_")
    assert said[1].startswith(f"a.csv: split into {sum(map(len, [texts(path)['train']]))} training, ")
    assert said[2].startswith(
        "121 rows repeat the text of an earlier row, such as line 62 that of line 2 ('text 0'); rows"
    )
    assert "1 text has several labels, such as 'text 5' (line 7: art; line 182: sport)" in said[3]


def test_a_rare_label_is_for_training(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [*usual(40), ("once", "rare")])
    assert "once" in texts(path)["train"]
    assert find_labels(path, ("text",), "topic") == ("art", "rare", "sport")


def test_a_changed_file_is_split_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", usual(30))
    before, digest = texts(path), data_fingerprint(TASK, path)
    assert set(digest) == {"a.csv"}
    write(path, usual(300))
    assert len(texts(path)["train"]) == 240 != len(before["train"])
    assert data_fingerprint(TASK, path) != digest


def test_test_data_have_labels_and_no_index(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", usual(50))
    assert all(has_split(TASK, split, path) for split in SPLITS)
    assert scored_split(TASK, path) == "test"


def test_scores_are_split_without_regard_to_their_value(tmp_path: Path) -> None:
    task = make_custom_task(("text",), "topic", None, "pearson")
    path = write(tmp_path / "a.csv", [(f"text {number}", f"{number / 3:.3f}") for number in range(100)])
    assert [len(read_examples(task, split, path)) for split in SPLITS] == [80, 10, 10]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (usual(3), r"a\.csv: 3 different texts are too few .*: at least 20 are needed"),
        (usual(10) * 9, "10 different texts are too few"),
        ([], "no rows after the header"),
        ([*usual(30), ("x", "music")], r"line 32: unknown label 'music'\. .*set LABELS to all labels of the data"),
    ],
)
def test_bad_tables(tmp_path: Path, rows: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        texts(write(tmp_path / "a.csv", rows))


def test_a_missing_file_and_a_missing_column(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.csv: no such file\. Give DATA_DIR"):
        texts(tmp_path / "nowhere.csv")
    (tmp_path / "a.csv").write_text("text,label\nx,art\n")
    with pytest.raises(UserError, match="no column named 'topic'"):
        texts(tmp_path / "a.csv")
