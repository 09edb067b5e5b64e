"""Ensembles of runs, and what the card of a run says."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from rich.console import Console

from power_bert.errors import UserError
from power_bert.runs.run_dir import DISTILL, read_run_json


def test_an_ensemble_is_a_run(distill_tiny: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.distill.ensemble_run import make_ensemble
    from power_bert.reports.model_card import write_model_card
    from power_bert.runs.resolve_model import find_stored_phase

    members = [distill_tiny(f"seed{seed}", teachers=(), seed=seed, epochs=2).run_dir for seed in (0, 1)]
    run_dir = make_ensemble([member.path for member in members], tmp_path / "both", Console(file=io.StringIO()))
    stored = find_stored_phase(run_dir.path)
    assert stored.load_classifier().backbone.name and stored.phase_dir.predictions("test").exists()
    mask = np.ones((1, 4), np.int32)
    inputs = {"token_ids": np.array([[2, 8, 9, 3]], np.int32), "segment_ids": 0 * mask, "padding_mask": mask}
    own = [np.asarray(find_stored_phase(member.path).load_classifier()(inputs)) for member in members]
    mean = np.mean([np.exp(logits) / np.exp(logits).sum() for logits in own], axis=0)
    np.testing.assert_allclose(np.exp(np.asarray(stored.load_classifier()(inputs))), mean, rtol=1e-4)
    assert ModelCard.load(write_model_card(run_dir)).data.tags == ["power-bert", "ensemble"]
    # Made again, as after its members were trained again, it keeps nothing of what the old one has predicted.
    old = stored.phase_dir.predictions("test").read_text(encoding="utf-8")
    stored.phase_dir.predictions("test").write_text("old", encoding="utf-8")
    figures = stored.phase_dir.path / "figures.json"
    figures.write_text("{}", encoding="utf-8")
    make_ensemble([member.path for member in members], tmp_path / "both", Console(file=io.StringIO()))
    assert stored.phase_dir.predictions("test").read_text(encoding="utf-8") == old and not figures.exists()
    others = [members[1].path, members[0].path]
    with pytest.raises(UserError, match=r"holds another run .*--no-resume"):
        make_ensemble(others, tmp_path / "both", Console(file=io.StringIO()))
    make_ensemble(others, tmp_path / "both", Console(file=io.StringIO()), predict_test=False, resume=False)
    assert not stored.phase_dir.predictions("test").exists() and len(list(tmp_path.glob("both.*"))) == 1
    with pytest.raises(UserError, match="at least two runs"):
        make_ensemble([members[0].path], tmp_path / "one", Console(file=io.StringIO()))


def test_the_card(distill_tiny: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.reports.model_card import write_model_card

    runs = [distill_tiny(f"seed{seed}", seed=seed, epochs=2).run_dir for seed in (0, 1)]
    path = write_model_card(runs[1])
    card, scores = ModelCard.load(path), read_run_json(runs[1].phase(DISTILL).metrics)["scores"]
    assert card.data.tags == ["power-bert", "linear", "distillation"] and card.data.metrics == ["accuracy", "macro_f1"]
    dev = [result for result in card.data.eval_results if result.dataset_split == "validation"]
    assert [result.metric_value for result in dev] == pytest.approx(list(scores.values()), abs=1e-6)
    assert {result.dataset_split for result in card.data.eval_results} == {"validation", "test"}
    text = path.read_text(encoding="utf-8")
    assert "| mean ± standard deviation |" in text and "Latency has not been measured" in text
    assert str(tmp_path) not in text, "no path of this machine"
    assert "Teacher `preset`: dev accuracy" in text
