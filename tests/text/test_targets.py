"""Tests of power_bert.text.targets: labels and scores from strings and back."""

from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.text.glue_tasks import get_task
from power_bert.text.targets import NUMBER, are_hidden, format_classes, format_score_targets, parse_targets
from power_bert.text.task import Task

COLA, MNLI, STS_B = get_task("cola"), get_task("mnli-m"), get_task("sts-b")


def parse(task: Task, *strings: str) -> np.ndarray:
    return parse_targets(task, list(strings), lambda row: f"dev.tsv, line {row + 2}", "Correct the line.")


class TestParse:
    def test_labels_are_mapped_by_their_string(self) -> None:
        classes = parse(MNLI, "neutral", "contradiction", "entailment", "neutral")
        assert classes.dtype == np.int64
        assert [MNLI.labels[index] for index in classes] == [  # type: ignore[index]
            "neutral",
            "contradiction",
            "entailment",
            "neutral",
        ]

    def test_scores_are_float64(self) -> None:
        scores = parse(STS_B, "0", "5.0", "2.375", "1e0", ".5", "4.")
        assert scores.dtype == np.float64
        assert scores.tolist() == [0.0, 5.0, 2.375, 1.0, 0.5, 4.0]

    def test_no_rows(self) -> None:
        assert parse(COLA).shape == (0,) and parse(STS_B).shape == (0,)

    @pytest.mark.parametrize("label", ["2", "01", " 1", "1 ", "", "one", "1\n"])
    def test_an_unknown_label_is_named_with_its_line(self, label: str) -> None:
        with pytest.raises(UserError) as error:
            parse(COLA, "0", "1", label)
        message = str(error.value)
        assert message.startswith("dev.tsv, line 4: unknown label ")
        assert message.endswith("Expected one of: 0, 1 (the labels of cola). Correct the line.")

    @pytest.mark.parametrize("score", ["", "x", "nan", "inf", "1_0", " 1", "1,5", "-0.1", "5.001", "1e400", "٣"])
    def test_a_bad_score_is_named_with_its_line(self, score: str) -> None:
        with pytest.raises(UserError, match=r"dev\.tsv, line 3: score .* Expected a number from 0 to 5\."):
            parse(STS_B, "1", score)

    def test_without_a_range_any_finite_number_is_a_score(self) -> None:
        import dataclasses

        free = dataclasses.replace(STS_B, score_range=None)
        assert parse(free, "-1e3", "7").tolist() == [-1000.0, 7.0]
        with pytest.raises(UserError, match=r"Expected a number\."):
            parse(free, "1e400")

    def test_a_long_label_is_cut_in_the_message(self) -> None:
        with pytest.raises(UserError) as error:
            parse(COLA, "x" * 10_000)
        assert len(str(error.value)) < 300


class TestHidden:
    @pytest.mark.parametrize("strings", [["-1", "-1"], ["-1.0"], ["", ""], ["-1", ""]])
    def test_what_stands_for_a_hidden_label(self, strings: list[str]) -> None:
        assert are_hidden(COLA, strings) and are_hidden(STS_B, strings)

    def test_one_true_label_is_enough_to_have_labels(self) -> None:
        assert not are_hidden(COLA, ["-1", "1"])

    def test_a_label_of_the_task_is_not_hidden(self) -> None:
        import dataclasses

        signs = dataclasses.replace(COLA, labels=("-1", "1"))
        assert not are_hidden(signs, ["-1", "-1"])
        assert are_hidden(signs, ["", ""])


class TestFormat:
    def test_scores_are_clipped_and_have_three_decimals(self) -> None:
        scores = np.array([-0.3, -0.0, 1.23456, 4.9996, 7.0], np.float32)
        assert format_score_targets(STS_B, scores) == ["0.000", "0.000", "1.235", "5.000", "5.000"]

    def test_scores_without_a_range_have_six_digits(self) -> None:
        import dataclasses

        free = dataclasses.replace(STS_B, score_range=None)
        assert format_score_targets(free, np.array([-0.0, 1234567.0, -0.125])) == ["0", "1.23457e+06", "-0.125"]

    def test_what_is_written_is_read_back(self) -> None:
        written = format_score_targets(STS_B, np.linspace(0, 5, 41))
        assert parse(STS_B, *written).tolist() == pytest.approx(np.linspace(0, 5, 41).tolist(), abs=5e-4)
        labels = format_classes(MNLI.labels, np.array([2, 0, 1]))  # type: ignore[arg-type]
        assert parse(MNLI, *labels).tolist() == [2, 0, 1]

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (np.array([0.0, 1.0]), "of an integer type, got float64"),
            (np.array([0, 2]), "from 0 to 1, got 0 to 2"),
            (np.array([-1, 1]), "from 0 to 1, got -1 to 1"),
        ],
    )
    def test_classes_out_of_range(self, classes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            format_classes(("0", "1"), classes)


@pytest.mark.parametrize(("string", "is_number"), [("1", True), ("-.5e-3", True), ("+2.", True), (".", False)])
def test_number(string: str, is_number: bool) -> None:
    assert bool(NUMBER.fullmatch(string)) == is_number
