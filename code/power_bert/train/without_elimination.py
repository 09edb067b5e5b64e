"""Scores of a model that eliminates, with nothing eliminated: the same weights, so the difference is elimination's."""

from __future__ import annotations

from rich.console import Console

from power_bert.model.pretrained import without_elimination
from power_bert.model.retention_choice import NO_ELIMINATION
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.run_dir import NOTHING_ELIMINATED, PhaseDir, write_json
from power_bert.run_documents import read_metrics
from power_bert.settings import TrainingSettings
from power_bert.train.evaluation import evaluate
from power_bert.train.forward import compiled_forward
from power_bert.train.metrics import format_scores
from power_bert.train.stored_run import StoredPhase
from power_bert.train.trained_model import load_trained_model
from power_bert.train.training import RunContext, evaluate_dev

# Entry of metrics.json.
SCORES = "scores_nothing_eliminated"


def score_without_elimination(
    context: RunContext[TrainingSettings], phase_dir: PhaseDir, title: str
) -> dict[str, dict[str, float]]:
    """Predict dev with the checkpoint that a phase kept, nothing eliminated; returns an entry of its metrics.json."""
    kept = load_own_classifier(phase_dir.existing_model())
    scores = evaluate_dev(context, compiled_forward(without_elimination(kept)), phase_dir, NOTHING_ELIMINATED)
    context.reporter.say(f"{title}: the same weights with nothing eliminated  dev {format_scores(scores)}")
    return {SCORES: scores}


def add_missing_scores(stored: StoredPhase, console: Console) -> None:
    """Do the same for a finished phase of an earlier version that eliminates and has no such scores.

    Raises:
        UserError: The dev data or the model are missing or damaged.
    """
    phase_dir = stored.phase_dir
    metrics = read_metrics(phase_dir.metrics)
    if stored.retention is None or SCORES in metrics:
        return
    model = load_trained_model(str(stored.run_dir.path), retention_choice=NO_ELIMINATION, phase=phase_dir.path.name)
    evaluation = evaluate(model, "dev", console, phase_dir.predictions(NOTHING_ELIMINATED))
    write_json(phase_dir.metrics, {**metrics, SCORES: evaluation.scores})
