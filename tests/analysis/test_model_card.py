"""The model card of a run, from the files that the run has left."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from power_bert.analysis.model_card import write_model_card
from power_bert.config import resolve_experiment
from power_bert.distill_config import Ensemble, resolve_distillation
from power_bert.run_dir import DISTILL, PHASES, RunDir, write_json
from power_bert.settings import TrainingSettings


def finished(settings: TrainingSettings, score: float = 0.75, phase: str = DISTILL) -> RunDir:
    """A run of which only the model is missing."""
    run_dir = RunDir(Path(settings.output_dir))
    phase_dir = run_dir.phase(phase)
    phase_dir.model.mkdir(parents=True)
    run_dir.config.write_text(settings.to_json(), encoding="utf-8")
    write_json(phase_dir.metrics, {"scores": {"accuracy": score, "macro_f1": score}, "parameters": 1234})
    write_json(phase_dir.model / "config.json", {})
    phase_dir.mark_done()
    return run_dir


def student(out: Path, **changes: Any) -> TrainingSettings:
    return resolve_distillation({"task": "emotion", "data_dir": str(out), "output_dir": str(out), **changes})


def card_of(run_dir: RunDir) -> str:
    return write_model_card(run_dir).read_text(encoding="utf-8")


def in_folder(folder: Path, seed: int) -> TrainingSettings:
    """One recipe, whatever the seed."""
    return student(folder, data_dir=str(folder.parent / "data"), seed=seed)


def test_front_matter_and_limits(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    run_dir = finished(student(tmp_path / "run", teachers=("teacher",), max_length=40))
    path = write_model_card(run_dir)
    data = ModelCard.load(path).data
    assert data.tags == ["power-bert", "bilstm", "distillation"] and data.language == "en"
    assert data.model_name == "bilstm distilled for emotion" and data.pipeline_tag == "text-classification"
    assert (data.eval_results[0].metric_type, data.eval_results[0].metric_value) == ("accuracy", 0.75)
    text = path.read_text(encoding="utf-8")
    assert "- Reads 40 word pieces of a text at most" in text and "Learns its teachers' mistakes" in text
    assert "Latency has not been measured" in text


def test_seeds(tmp_path: Path) -> None:
    for seed, score in enumerate((0.70, 0.80)):
        finished(in_folder(tmp_path / f"seed{seed}", seed), score)
    finished(in_folder(tmp_path / "seed2.20260102-030405", 2), 0.1)  # set aside
    finished(in_folder(tmp_path / "again", 0), 0.2)
    finished(student(tmp_path / "other", data_dir=str(tmp_path / "data"), epochs=1, seed=3), 0.3)
    text = card_of(RunDir(tmp_path / "seed0"))
    assert "| 0 | 70.00 | 70.00 |\n| 1 | 80.00 | 80.00 |\n| mean ± deviation | 75.00 ± 7.07 |" in text


def test_what_lies_beside_a_run_does_not_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = finished(in_folder(tmp_path / "run", 0))
    finished(in_folder(tmp_path / "seed1", 1))
    damaged = finished(in_folder(tmp_path / "seed2", 2))
    damaged.config.write_bytes(b"\xff\xfe\xff")
    is_file = Path.is_file

    def refuse(path: Path) -> bool:
        if path.parent.name == "seed1":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    assert "other seeds" not in card_of(run_dir)

    iterdir = Path.iterdir

    def list_all_but_the_parent(path: Path) -> Iterator[Path]:
        if path == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", list_all_but_the_parent)
    assert "other seeds" not in card_of(run_dir)


def test_what_kind_of_model_it_is(tmp_path: Path) -> None:
    settings = {"task": "emotion", "data_dir": str(tmp_path), "output_dir": str(tmp_path / "bert")}
    teacher = card_of(finished(resolve_experiment(settings), phase=PHASES[0]))
    assert "# BERT fine-tuned for emotion" in teacher and "elimination\n" not in teacher
    settings["output_dir"] = str(tmp_path / "eliminated")
    eliminated = card_of(finished(resolve_experiment(settings), phase=PHASES[2]))
    assert "# PoWER-BERT for emotion" in eliminated and "- word-vector elimination\n" in eliminated
    members = (str(tmp_path / "a"), str(tmp_path / "b"))
    ensemble = card_of(finished(Ensemble("emotion", str(tmp_path), str(tmp_path / "both"), members, 32, 64)))
    pruned = card_of(finished(student(tmp_path / "pruned", sparsity=0.5)))
    chosen = "The dev set has also chosen the epoch"
    assert chosen in teacher and chosen in eliminated and chosen not in ensemble and chosen not in pruned
