"""Whatever writes a folder over a long time is its one writer: it stops before it does anything where another is."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from power_bert.corpus.preparation import prepare_corpus
from power_bert.corpus.vocabulary_training import train_vocabulary_file
from power_bert.distill.ensemble_run import make_ensemble
from power_bert.distill.run_distillation import distill
from power_bert.errors import UserError
from power_bert.experiments.distillation_study import run_distillation_study
from power_bert.experiments.proof_points import prove
from power_bert.experiments.similarity_study.run_study import run_study
from power_bert.experiments.student_compression import compress
from power_bert.export.exporter import export
from power_bert.glue.glue_download import download_glue
from power_bert.glue.run_all import run_glue
from power_bert.model.checkpoints.download import fetch_minilm
from power_bert.predict.without_training import predict_tests
from power_bert.pretrain.run_pretraining import pretrain
from power_bert.train.run_experiment import run_experiment

ANY: Any = None
# What it is → (folder it writes → calls it).
WRITERS: dict[str, Callable[[Path], object]] = {
    "run": lambda out: run_experiment(SimpleNamespace(output_dir=str(out)), resume=False),  # type: ignore[arg-type]
    "distill": lambda out: distill(SimpleNamespace(output_dir=str(out)), resume=False),  # type: ignore[arg-type]
    "ensemble": lambda out: make_ensemble([], out, ANY),
    "compress": lambda out: compress(out.with_name("student"), {"output_dir": str(out)}, "none"),
    "pretrain": lambda out: pretrain(ANY, out),
    "study": lambda out: run_study(ANY, SimpleNamespace(path=out), ANY),  # type: ignore[arg-type]
    "prepare-corpus": lambda out: prepare_corpus(ANY, out, ANY),
    "train-vocab": lambda out: train_vocabulary_file([], out, 10, ANY, ANY),
    "measure-distillation": lambda out: run_distillation_study(SimpleNamespace(out=out), ANY, ANY),  # type: ignore[arg-type]
    "glue": lambda out: run_glue(ANY, [], out, ANY),
    "export": lambda out: export(ANY, out, ANY, ANY),
    "proof-points": lambda out: prove({}, [], out, 1, ANY),
    "fetch": fetch_minilm,
    "download": lambda out: download_glue(["cola"], out.parent, ANY, ANY),
    "PREDICT_ONLY": lambda out: predict_tests(ANY, out / "predictions", ANY),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_second_one_stops(writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / ("CoLA" if writer == "download" else "out")
    asked: list[Path] = []

    def refuse(lock: object, path: Path, target: str | Path, wait: bool) -> bool:
        asked.append(path)
        raise UserError(f"{target} is in use")

    monkeypatch.setattr("power_bert.storage.locks._acquire", refuse)
    with pytest.raises(UserError, match=f"{out} is in use"):
        WRITERS[writer](out)
    assert asked == [tmp_path / f".{out.name}.lock"] and list(tmp_path.iterdir()) == []
