"""Tests of power_bert.reports.model_origin."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.distillation import Ensemble, resolve_distillation
from power_bert.config.experiment import resolve_experiment
from power_bert.reports import model_origin
from power_bert.reports.model_origin import Origin, find_origin
from power_bert.runs.run_dir import PHASES, RunDir


def experiment(checkpoint: Path | str, folder: Path) -> Any:
    given = {"task": "emotion", "data_dir": str(folder), "checkpoint_path": str(checkpoint)}
    return resolve_experiment(given | {"output_dir": str(folder / "run")})


def student(folder: Path, **changes: Any) -> Any:
    return resolve_distillation({"task": "emotion", "data_dir": str(folder), "output_dir": str(folder), **changes})


@pytest.mark.parametrize(
    ("header", "license_name"),
    [
        ("---\nlicense: mit\n---\n# Card\n", "mit"),
        ("# No header\n", "unknown"),
        ("---\nlicense: [a, b]\n---\n", "unknown"),
        ("---\n: {\n---\n", "unknown"),
    ],
)
def test_the_card_of_the_checkpoint_names_the_license(header: str, license_name: str, tmp_path: Path) -> None:
    folder = tmp_path / "bert-of-mine"
    folder.mkdir()
    (folder / "README.md").write_text(header, encoding="utf-8")
    assert find_origin(experiment(folder, tmp_path)) == Origin("bert-of-mine", "", license_name)


def test_minilm_is_known_by_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "renamed"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    assert find_origin(experiment(folder, tmp_path)).license == "unknown"
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setattr(model_origin, "MINILM_SHA256", {"model.safetensors": digest})
    name = "sentence-transformers/all-MiniLM-L6-v2"
    found = find_origin(experiment(folder, tmp_path))
    assert found == Origin(name, name, "apache-2.0") and "license `apache-2.0`" in found.sentence()


def test_a_run_or_a_student_has_that_of_what_it_starts_from(tmp_path: Path) -> None:
    settings = experiment("hf://owner/name", tmp_path)
    run_dir = RunDir(Path(settings.output_dir))
    run_dir.phase(PHASES[0]).path.mkdir(parents=True)
    run_dir.config.write_text(settings.to_json(), encoding="utf-8")
    expected = Origin("owner/name", "owner/name")
    assert find_origin(experiment(run_dir.path, tmp_path)) == expected
    taught = student(tmp_path, student="bert-2x32", start="teacher", teachers=(str(run_dir.path),))
    assert find_origin(taught) == expected
    assert find_origin(Ensemble("emotion", "data", "both", (str(run_dir.path), "other"), 32, 64)) == expected


def test_random_weights_have_none(tmp_path: Path) -> None:
    assert find_origin(student(tmp_path)) == Origin("") and "Base model: none" in Origin("").sentence()
