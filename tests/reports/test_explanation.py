"""Tests of power_bert.reports.explanation and of the command `explain`."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from power_bert import cli
from power_bert.errors import UserError
from power_bert.predict.surviving_tokens import Explanation
from power_bert.reports.explanation import explanation_html, explanation_lines, explanation_picture, wrapped_prediction
from power_bert.result_tables import WIDTH

TOKENS = ("[CLS]", "a", "wit", "##ty", "$x$", "<b>", "[SEP]")
KEPT = np.array([[1, 1, 1, 1, 1, 0, 1], [1, 0, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 0]], bool)


def explained(tokens: tuple[str, ...] = TOKENS, kept: np.ndarray = KEPT) -> Explanation:
    return Explanation(tokens, kept, ("bad", "good"), np.array([0.25, 0.75]))


def test_a_line_shows_the_tokens_that_are_left() -> None:
    assert explanation_lines(explained()) == [
        "after     tokens left",
        "",
        "input     7  [CLS] a wit ##ty $x$ <b> [SEP]",
        "block 1   6  [CLS] a wit ##ty $x$ ·   [SEP]",
        "block 2   4  [CLS] · wit ·    $x$ ·   [SEP]",
        "block 3   1  [CLS] · ·   ·    ·   ·   ·",
    ]


def test_a_long_text_goes_on_below_within_80_columns() -> None:
    lines = explanation_lines(explained(TOKENS * 20, np.tile(KEPT, 20)))
    assert max(map(len, lines)) <= WIDTH and lines.count("") > 5
    for start, kept in (("input ", 140), ("block 1", 120), ("block 2", 80), ("block 3", 20)):
        shown = [re.sub(r" +\d+  ", " ", line.removeprefix(start), count=1) for line in lines if line.startswith(start)]
        assert sum(word != "·" for line in shown for word in line.split()) == kept


def test_the_page_is_complete_and_escapes_what_it_is_given() -> None:
    page = explanation_html(explained(), 'a "witty" <script>', "runs/a&b")
    assert "<script" not in page and "<b>$x$" not in page and "src=" not in page and "http" not in page
    assert "a &quot;witty&quot; &lt;script&gt;" in page and "runs/a&amp;b" in page and "&lt;b&gt;" in page
    assert page.count('class="token"') == 7 + 4 + (7 + 6 + 4 + 1)
    colors = dict(re.findall(r'title="([^"]+)" style="background:(#[0-9a-f]{6})', page))
    assert list(colors) == ["left at the end", "dropped by block 2", "dropped by block 3", "dropped by block 1"]
    assert len(set(colors.values())) == 4


def test_the_legend_names_only_blocks_that_drop_tokens() -> None:
    page = explanation_html(explained(kept=KEPT[[0, 0, 2]]), "a text", "a model")
    legend = re.findall(r">(dropped by block \d|left at the end)</span>", page)
    assert legend == ["dropped by block 1", "dropped by block 3", "left at the end"]


@pytest.mark.parametrize(("classes", "others"), [(6, ""), (7, ", 1 more"), (77, ", 71 more")])
def test_the_prediction_names_six_classes_and_counts_the_others(classes: int, others: str) -> None:
    names = tuple(f"class number {number}" for number in range(classes))
    explanation = Explanation(TOKENS, KEPT, names, np.linspace(0, 1, classes))
    lines = wrapped_prediction(explanation, "prediction  ", WIDTH, " " * 12)
    whole = " ".join(" ".join(lines).split())
    assert whole.startswith(f"prediction class number {classes - 1} (p(class number {classes - 1}) 1.0000, p(")
    assert whole.count("p(") == 6 and whole.endswith(f"{others})") and (others or "more" not in whole)
    assert len(lines) > 2 and max(map(len, lines)) <= WIDTH and not any(line.endswith(")") for line in lines[:-1])


def test_the_picture_grows_with_the_text() -> None:
    short = Image.open(io.BytesIO(explanation_picture(explained())))
    long = Image.open(io.BytesIO(explanation_picture(explained(TOKENS * 20, np.tile(KEPT, 20)))))
    assert short.format == "PNG" and short.width == long.width and long.height > 3 * short.height
    with pytest.raises(UserError, match="70000 tokens are too many for a picture; give --html instead"):
        explanation_picture(explained(TOKENS * 10_000, np.tile(KEPT, 10_000)))


def call(*arguments: object) -> str:
    result = CliRunner().invoke(cli.app, ["explain", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_the_command(make_classifier: Callable[..., Any], tmp_path: Path) -> None:
    make_classifier(("bad", "good"), extraction="hard", retention=(0.7, 0.2)).save_to_preset(str(tmp_path / "preset"))
    picture, page = tmp_path / "tokens.png", tmp_path / "tokens.html"
    output = call(tmp_path / "preset", "the cat saw a dog.", "--picture", picture, "--html", page)
    assert re.search(r"^prediction  (bad|good)  \(p\(", output, re.MULTILINE)
    assert "input     8  [CLS] the cat saw a dog . [SEP]\n" in output
    assert re.search(r"^block 1   6  \[CLS\] .*·", output, re.MULTILINE)
    assert picture.read_bytes().startswith(b"\x89PNG") and "the cat saw a dog." in page.read_text(encoding="utf-8")
    output = call(tmp_path / "preset", "the cat", "--retention-config", "none")
    assert "retention   none: nothing is eliminated (as asked)\n" in output and "·" not in output
    with pytest.raises(UserError, match=r"preset/config\.json/x\.png: cannot be written"):
        call(tmp_path / "preset", "the cat", "--picture", tmp_path / "preset" / "config.json" / "x.png")


def test_a_model_of_12_blocks_fits_a_terminal(make_classifier: Callable[..., Any], tmp_path: Path) -> None:
    fractions = [round(0.9876 - 0.01 * block, 4) for block in range(12)]
    make_classifier(("bad", "good"), extraction="hard", retention=fractions, num_layers=12).save_to_preset(
        str(tmp_path / "preset")
    )
    lines = call(tmp_path / "preset", "the cat saw a dog.").splitlines()
    assert lines[1].startswith("retention   0.9876,") and lines[2].startswith(" " * 12 + "0.8")
    assert all(len(line) <= WIDTH for line in lines[1:])


def test_a_model_without_tokens_to_drop(make_student: Callable[..., Any], tmp_path: Path) -> None:
    make_student("bilstm").save_to_preset(str(tmp_path / "student"))
    with pytest.raises(UserError, match="a student that is no BERT, whose encoder has no tokens to drop"):
        call(tmp_path / "student", "the cat")
    with pytest.raises(UserError, match=r"model\.tflite: an exported file gives probabilities, not the tokens"):
        call("model.tflite", "the cat")
