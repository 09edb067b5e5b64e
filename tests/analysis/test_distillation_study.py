"""The measurement of distillation: which runs there are, and that one failure does not stop the others."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from power_bert.analysis.distillation_study import DistillationStudy, parse_tasks, run_distillation_study
from power_bert.errors import UserError


def test_runs(tmp_path: Path) -> None:
    called: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        called.append(arguments)
        failed = "--teacher" in arguments and "none" in arguments
        return (2, "error: no\n") if failed else (0, "")

    study = DistillationStudy({"emotion": "data"}, ("linear", "bilstm"), (0, 1), tmp_path, teacher_epochs=2)
    errors = run_distillation_study(study, Console(file=io.StringIO()), run)
    verbs = [arguments[0] for arguments in called]
    assert verbs == ["run"] * 2 + ["distill"] * 16 + ["compare", "linear-baselines"]
    assert sorted(errors) == [f"emotion/{name}-alone-seed{seed}" for name in ("bilstm", "linear") for seed in (0, 1)]
    teachers = [str(tmp_path / "emotion" / f"teacher{seed}") for seed in (0, 1)]
    assert [arguments.count("--teacher") for arguments in called].count(2) == 4
    assert all("--fine-tune-only" in arguments for arguments in called[:2])
    compared = called[-2]
    assert compared[1:3] == teachers and len(compared) == 1 + 2 + 12 + 2


def test_tasks(tmp_path: Path) -> None:
    parsed = parse_tasks([f"emotion={tmp_path}", "sst-2=tfds:glue/sst2"])
    assert parsed == {"emotion": str(tmp_path), "sst-2": "tfds:glue/sst2"}
    with pytest.raises(UserError, match="expected TASK=FOLDER"):
        parse_tasks(["emotion"])
