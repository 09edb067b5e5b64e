"""Tests of power_bert.reports.finish_run and summary."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.experiment import resolve_experiment
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.reports.finish_run import measure_run
from power_bert.reports.run_summary import SummaryRow, summary_rows, summary_text
from power_bert.result_tables import WIDTH
from power_bert.runs.run_dir import BASELINE, NOTHING_ELIMINATED, RunDir, write_run_json

WORDS = ("the", "cat", "sat", "on", "mat", "dog", "ran", ".")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
MAX_LENGTH = 12


def phase_metrics(phase: str, seconds: float, scores: dict[str, float], **more: Any) -> dict[str, Any]:
    history = [
        {"epoch": epoch, "train_loss": 0.5, "scores": scores, "train_seconds": 1.0, "eval_seconds": 0.5}
        | {"train_examples_per_second": rate}
        for epoch, rate in ((1, 80.0), (2, 100.0), (3, 101.0))
    ]
    values = {"phase": phase, "metric": "f1", "best_epoch": 2, "scores": scores, "history": history}
    return values | {"seconds": seconds, "scores_before_training": None} | more


def difference(*values: float | None) -> dict[str, float | None]:
    """Score without and with elimination, and the interval if there is one."""
    return dict(itertools.zip_longest(("before", "after", "low", "high"), values))


def timing(name: str, seconds: float) -> dict[str, Any]:
    return {"name": name, "batch_size": 32, "examples": 408, "threads": 2, "device": "cpu"} | {
        "seconds_per_example": seconds,
        "examples_per_second": 1 / seconds,
        "repeats": 5,
    }


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    """A finished run, without models."""
    run = RunDir(tmp_path / "run")
    before, after = {"f1": 0.852, "accuracy": 0.801}, {"f1": 0.84496, "accuracy": 0.801}
    write_run_json(run.phase("1_fine_tune").metrics, phase_metrics("1_fine_tune", 45.25, before))
    write_run_json(run.phase("2_search").metrics, phase_metrics("2_search", 123.4, before))
    cut = {"f1": 0.7, "accuracy": 0.6}
    write_run_json(
        run.phase("3_retrain").metrics, phase_metrics("3_retrain", 3725.0, after, scores_before_training=cut)
    )
    changes = {"f1": difference(0.86, 0.84496, -0.03, 0.001), "accuracy": difference(0.801, 0.801)}
    write_run_json(run.phase("3_retrain").differences, {NOTHING_ELIMINATED: changes})
    write_run_json(run.phase("2_search").retention, {"retention": [1.0, 0.6, 0.25], "unit": "fraction"})
    timings = {
        "flops_speedup": 2.514,
        "flops_per_example": {"unpadded": 1.25e9, "unpadded_eliminated": 4.97e8},
        "timings": {
            "fixed_padding": timing("fixed_padding", 0.0212),
            "bucketed": timing("bucketed", 0.0084),
            "bucketed_eliminated": timing("bucketed_eliminated", 0.004),
        },
        "threads": 2,
        "processor": "A Processor",
    }
    write_run_json(run.timings, timings)
    run.log.write_text("log\n", encoding="utf-8")
    run.config.write_text(resolve_experiment({}).to_json(), encoding="utf-8")
    run.phase("3_retrain").predictions("test").write_text("index\tprediction\n", encoding="utf-8")
    return run


def value_of(rows: list[SummaryRow], label: str) -> str:
    return next(row.value for row in rows if row.label == label)


class TestSummary:
    def test_scores(self, run_dir: RunDir) -> None:
        rows = summary_rows(run_dir)
        same, longer = (
            f"Dev score, {what}: nothing eliminated → with elimination" for what in ("same weights", "as many epochs")
        )
        assert rows[:3] == [
            SummaryRow(same, "f1", "86.00 → 84.50 (−1.50, 95 % interval −3.00 to +0.10)"),
            SummaryRow(same, "accuracy", "80.10 → 80.10 (±0.00)"),
            SummaryRow(
                longer,
                "not trained",
                "run again with BASELINE=1 to train it; with elimination f1 84.50, accuracy 80.10",
            ),
        ]
        assert value_of(rows, "after 3 epochs of fine-tuning") == "f1 85.20, accuracy 80.10"
        assert value_of(rows, "eliminated, not re-trained") == "f1 70.00, accuracy 60.00"

    def test_as_many_epochs(self, run_dir: RunDir) -> None:
        metrics = phase_metrics("baseline", 50.0, {"f1": 0.87}, warnings=["not converged: f1 …"])
        write_run_json(run_dir.phase(BASELINE).metrics, metrics)
        change = {"f1": {"before": 0.87, "after": 0.845, "low": -0.03, "high": -0.01}}
        write_run_json(run_dir.phase("3_retrain").differences, {BASELINE: change})
        rows = summary_rows(run_dir)
        assert [row.label for row in rows[:2]] == ["not scored", "f1"]
        assert rows[1].value == "87.00 → 84.50 (−2.50, 95 % interval −3.00 to −1.00)"
        assert SummaryRow("Warnings", "baseline", "not converged: f1 …") in rows
        assert SummaryRow("Time", "baseline", "50.0 s, 3 epochs, 100 examples/s in training") in rows

    def test_an_undefined_score(self, run_dir: RunDir) -> None:
        path = run_dir.phase("3_retrain").metrics
        values = json.loads(path.read_text(encoding="utf-8"))
        values["scores_before_training"]["accuracy"] = float("nan")
        write_run_json(path, values)
        write_run_json(run_dir.phase("3_retrain").differences, {NOTHING_ELIMINATED: {"f1": difference(0.852, None)}})
        rows = summary_rows(run_dir)
        assert value_of(rows, "f1") == "85.20 → undefined"
        assert value_of(rows, "eliminated, not re-trained") == "f1 70.00, accuracy undefined"

    def test_retention(self, run_dir: RunDir) -> None:
        shown = value_of(summary_rows(run_dir), "kept after block 1 … 3")
        assert shown == "1.0,0.6,0.25 (fractions of each example's tokens)"
        write_run_json(run_dir.phase("2_search").retention, {"retention": [64, 8, 1]})
        assert value_of(summary_rows(run_dir), "kept after block 1 … 3") == "64,8,[CLS] (tokens)"
        run_dir.config.write_text(resolve_experiment({"fuse": True}).to_json(), encoding="utf-8")
        fused = value_of(summary_rows(run_dir), "kept after block 1 … 3")
        assert fused == "64,8,[CLS], dropped tokens fused (tokens)"

    def test_flops_and_clock(self, run_dir: RunDir) -> None:
        rows = summary_rows(run_dir)
        assert value_of(rows, "without padding") == "2.51 × fewer (1250 → 497 million per example)"
        assert value_of(rows, "fixed padding, no elimination") == "21.2 ms per example"
        assert value_of(rows, "length-bucketed, with elimination") == "4 ms per example"
        faster = "2.1 × over length-bucketed batches (84 % of the FLOPs reduction), 5.3 × over fixed padding"
        assert value_of(rows, "speed-up") == faster
        assert "one text at a time" not in [row.label for row in rows]
        conditions = "A Processor, cpu, 2 threads, batches of 32, 408 dev examples, median of 5 passes"
        assert value_of(rows, "measured on") == conditions

    def test_one_text_at_a_time(self, run_dir: RunDir) -> None:
        values = json.loads(run_dir.timings.read_text(encoding="utf-8"))
        single, eliminated = {"p50_ms": 4.2, "p95_ms": 8.04}, {"p50_ms": 2.0, "p95_ms": 3.5}
        write_run_json(run_dir.timings, values | {"single_texts": {"single": single, "single_eliminated": eliminated}})
        shown = value_of(summary_rows(run_dir), "one text at a time")
        assert shown == "2.1 × at p50 (p50 4.2 → 2 ms, p95 8.04 → 3.5 ms)"

    def test_time_of_the_phases(self, run_dir: RunDir) -> None:
        rows = summary_rows(run_dir)
        assert value_of(rows, "1_fine_tune") == "45.2 s, 3 epochs, 100 examples/s in training"
        assert value_of(rows, "2_search") == "2 min 03 s, 3 epochs, 100 examples/s in training"
        assert value_of(rows, "3_retrain") == "1 h 02 min, 3 epochs, 100 examples/s in training"

    def test_files_that_are_there(self, run_dir: RunDir) -> None:
        files = {row.label: row.value for row in summary_rows(run_dir) if row.section == "Files in this folder"}
        assert files == {
            "test predictions": "3_retrain/predictions_test.tsv",
            "retention configuration": "2_search/retention.json",
            "log": "log.txt",
        }

    def test_text_has_every_row_and_fits_a_terminal(self, run_dir: RunDir) -> None:
        text = summary_text(run_dir)
        words = " ".join(text.split())
        for row in summary_rows(run_dir):
            assert row.section in words and f"{row.label} {row.value}" in words
        title, *lines = text.splitlines()
        assert title == f"Run {run_dir.path}" and max(map(len, lines)) <= WIDTH and text.endswith("\n")

    def test_twelve_blocks_and_all_files_fit_a_terminal(self, run_dir: RunDir) -> None:
        found = {"tokens": [0.9999] * 11 + [0.0001], "heads": [12] * 12, "neurons": [3072] * 12}
        write_run_json(run_dir.phase("2_search").retention, found)
        predictions = run_dir.phase("3_retrain").predictions(NOTHING_ELIMINATED)
        predictions.write_text("index\tprediction\n", encoding="utf-8")
        text = summary_text(run_dir)
        assert max(map(len, text.splitlines()[1:])) <= WIDTH and f"/{predictions.name}\n" in text
        assert f"{'0.9999,' * 11}[CLS]" in "".join(text.split())

    @pytest.mark.parametrize(
        "name", ["timings.json", "1_fine_tune/metrics.json", "3_retrain/metrics.json", "2_search/retention.json"]
    )
    @pytest.mark.parametrize("content", [None, '{"scores": ', "[]", "{}"])
    def test_missing_or_damaged_file(self, run_dir: RunDir, name: str, content: str | None) -> None:
        path = run_dir.path / name
        path.unlink()
        if content is not None:
            path.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=name):
            summary_rows(run_dir)

    def test_damaged_differences(self, run_dir: RunDir) -> None:
        write_run_json(run_dir.phase("3_retrain").differences, {NOTHING_ELIMINATED: {"f1": {"before": "high"}}})
        with pytest.raises(UserError, match=r"differences\.json: dev_nothing_eliminated\.f1\.before is 'high'"):
            summary_rows(run_dir)

    def test_wrong_value(self, run_dir: RunDir) -> None:
        values = json.loads(run_dir.timings.read_text(encoding="utf-8"))
        values["timings"]["bucketed"]["seconds_per_example"] = "fast"
        write_run_json(run_dir.timings, values)
        with pytest.raises(UserError, match=r"timings\.json: timings\.bucketed\.seconds_per_example is 'fast'"):
            summary_rows(run_dir)


def save_model(path: Path) -> None:
    backbone = PowerBertBackbone(
        vocabulary_size=len(VOCABULARY),
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        intermediate_dim=10,
        max_sequence_length=MAX_LENGTH,
        extraction="hard",
        retention=(0.6, 0.2),
    )
    tokenizer = PowerBertTokenizer(list(VOCABULARY))
    preprocessor = PowerBertTextClassifierPreprocessor(tokenizer, sequence_length=MAX_LENGTH)
    PowerBertTextClassifier(backbone, num_classes=2, preprocessor=preprocessor).save_to_preset(str(path))


class TestMeasureRun:
    @pytest.fixture
    def run_to_measure(self, run_dir: RunDir, tmp_path: Path) -> RunDir:
        data_dir = tmp_path / "glue"
        (data_dir / "CoLA").mkdir(parents=True)
        lines = [f"x\t1\t\t{' '.join(WORDS[: 1 + row % 8])}" for row in range(9)]
        (data_dir / "CoLA" / "dev.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        given = {"task": "cola", "data_dir": str(data_dir), "output_dir": str(run_dir.path), "max_length": MAX_LENGTH}
        run_dir.config.write_text(resolve_experiment(given).to_json(), encoding="utf-8")
        run_dir.timings.unlink()
        return run_dir

    def test_what_it_writes_is_what_the_summary_reads(self, run_to_measure: RunDir) -> None:
        save_model(run_to_measure.phase("3_retrain").model)
        measure_run(run_to_measure, max_examples=7, batch_size=3, repeats=1)
        values = json.loads(run_to_measure.timings.read_text(encoding="utf-8"))
        flops = values["flops_per_example"]
        assert flops["unpadded"] < flops["bucketed"] < flops["fixed_padding"]
        assert flops["unpadded_eliminated"] < flops["bucketed_eliminated"] < flops["bucketed"]
        assert values["flops_speedup"] == pytest.approx(flops["unpadded"] / flops["unpadded_eliminated"])
        assert values["flops_speedup"] > 1
        assert {way["examples"] for way in values["timings"].values()} == {7}
        assert values["threads"] >= 1 and values["processor"]
        rows = summary_rows(run_to_measure)
        assert value_of(rows, "model with elimination") == "3_retrain/model"
        assert {of_model["examples"] for of_model in values["single_texts"].values()} == {7}
        assert " × at p50 (p50 " in value_of(rows, "one text at a time")

    def test_no_model(self, run_to_measure: RunDir) -> None:
        with pytest.raises(UserError, match="3_retrain/model: no model there"):
            measure_run(run_to_measure)

    def test_no_configuration(self, run_dir: RunDir) -> None:
        run_dir.config.unlink()
        with pytest.raises(UserError, match=r"config\.json: no such file"):
            measure_run(run_dir)
