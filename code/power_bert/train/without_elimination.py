"""Scores of a model with its elimination switched off; the difference is the effect of elimination."""

from __future__ import annotations

from rich.console import Console

from power_bert.config.validation import TrainingSettings
from power_bert.elimination.retention_choice import NO_ELIMINATION
from power_bert.model.classifier_building import build_without_elimination
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.predict.evaluation import evaluate
from power_bert.predict.forward import compiled_forward
from power_bert.predict.metrics import format_scores
from power_bert.runs.resolve_model import StoredPhase
from power_bert.runs.run_dir import NOTHING_ELIMINATED, PhaseDir, write_run_json
from power_bert.runs.run_documents import read_metrics
from power_bert.runs.trained_model import load_trained_model
from power_bert.train.training import RunContext, evaluate_dev

# Key in metrics.json.
SCORES = "scores_nothing_eliminated"


def score_without_elimination(
    context: RunContext[TrainingSettings], phase_dir: PhaseDir, title: str
) -> dict[str, dict[str, float]]:
    """Score the kept checkpoint on dev without elimination and return the entry for metrics.json."""
    kept = load_own_classifier(phase_dir.existing_model())
    scores = evaluate_dev(context, compiled_forward(build_without_elimination(kept)), phase_dir, NOTHING_ELIMINATED)
    context.reporter.say(f"{title}: the same weights with nothing eliminated  dev {format_scores(scores)}")
    return {SCORES: scores}


def add_missing_scores(stored: StoredPhase, console: Console) -> None:
    """Add the scores without elimination to a finished phase that an earlier version wrote without them.

    Raises:
        UserError: The dev data or the model are missing or damaged.
    """
    phase_dir = stored.phase_dir
    metrics = read_metrics(phase_dir.metrics)
    if stored.retention is None or SCORES in metrics:
        return
    run, data_dir = str(stored.run_dir.path), stored.experiment.data_dir
    model = load_trained_model(run, None, data_dir, NO_ELIMINATION, phase_dir.path.name)
    evaluation = evaluate(model, "dev", console, phase_dir.predictions(NOTHING_ELIMINATED))
    write_run_json(phase_dir.metrics, {**metrics, SCORES: evaluation.scores})
