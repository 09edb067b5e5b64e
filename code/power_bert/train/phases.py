"""The three phases of PoWER-BERT (Goyal et al. 2020, section 3.4): fine-tune, search the configuration, re-train.

Beside them the baseline: fine-tuning that goes on for as many epochs as search and re-training take.

Each has the signature ``phase(context, previous) → PhaseResult``, its own folder that ends with a DONE marker, goes
on after a kill, and can be run alone from what the phase before it left.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import keras

from power_bert.config import Experiment
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import Pretrained, build_classifier, rebuild_classifier
from power_bert.model.retention import check_retention, format_retention, parse_retention
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.run_dir import BASELINE, PHASES, PhaseDir, write_json
from power_bert.run_documents import read_retention
from power_bert.train.forward import compiled_forward
from power_bert.train.metrics import format_scores
from power_bert.train.phase_end import PhaseResult, already_done, finish_phase, write_metrics_csv
from power_bert.train.run_folder import baseline_epochs, phases_of
from power_bert.train.training import (
    RunContext,
    TrainingPlan,
    compile_for_phase,
    evaluate_dev,
    start_bias,
    train,
)
from power_bert.train.without_elimination import score_without_elimination


def load_model(phase_dir: PhaseDir) -> PowerBertTextClassifier:
    """The checkpoint that a phase kept; a UserError where it has been deleted."""
    return load_own_classifier(phase_dir.existing_model())


def fine_tune(context: RunContext[Experiment], pretrained: Callable[[], Pretrained]) -> PhaseResult:
    """Phase 1: fine-tune all weights, nothing eliminated. `pretrained` is called only if there is work to do."""
    phase_dir = context.run_dir.phase(PHASES[0])
    if phase_dir.is_done:
        return already_done(context.reporter, phase_dir, "fine-tuning")
    keras.utils.set_random_seed(context.experiment.seed)
    loaded = pretrained()
    for note in loaded.notes:
        context.reporter.say(note)
    task = context.experiment.task_definition
    model = build_classifier(loaded, task.num_outputs, task.labels, context.experiment.max_length)
    start_bias(model, context.train.examples.labels)
    return _train_phase(context, phase_dir, model, "1 fine-tune", context.experiment.epochs)


def search(context: RunContext[Experiment], previous: PhaseResult) -> PhaseResult:
    """Phase 2: soft extraction with the regulariser λ · Σ_j j · mass(j), or with the target that SPEEDUP names.

    Ends with the retention configuration.
    """
    phase_dir, experiment = context.run_dir.phase(PHASES[1]), context.experiment
    if phase_dir.is_done:
        return already_done(context.reporter, phase_dir, "search")
    keras.utils.set_random_seed(experiment.seed)
    model = rebuild_classifier(
        load_model(previous.phase_dir),
        extraction="soft",
        gate=experiment.gate,
        retention_parameters=experiment.max_length,
        retention_unit=experiment.retention_unit,
        retention_profile=experiment.retention_profile,
    )
    backbone = model.backbone
    lengths = context.train.encoded.lengths
    if experiment.speedup is None:
        backbone.set_regularization(experiment.regularization, float(lengths.mean()))
    else:
        backbone.set_cost_target(experiment.speedup, lengths)

    def masses() -> str:
        return "mass " + " ".join(f"{mass:.1f}" for mass in backbone.retention_masses())

    return _train_phase(context, phase_dir, model, "2 search", experiment.search_epochs, masses)


def retrain(context: RunContext[Experiment], previous: PhaseResult) -> PhaseResult:
    """Phase 3: hard extraction with the searched configuration, from the searched weights.

    With a given configuration (RETENTION_CONFIG) there was no search, and `previous` is phase 1.
    """
    phase_dir, experiment = context.run_dir.phase(PHASES[2]), context.experiment
    if phase_dir.is_done:
        return already_done(context.reporter, phase_dir, "re-training")
    keras.utils.set_random_seed(experiment.seed)
    trained = load_model(previous.phase_dir)
    num_layers = trained.backbone.num_layers
    if experiment.retention_config is None:
        found = read_retention(previous.phase_dir.retention)
        retention = check_retention(found, num_layers, experiment.max_length)
    else:
        retention = parse_retention(experiment.retention_config, num_layers, experiment.max_length)
        write_json(phase_dir.retention, {"retention": list(retention), "source": "RETENTION_CONFIG"})
    model = rebuild_classifier(
        trained, extraction="hard", retention=retention, retention_jitter=experiment.retention_jitter
    )
    return _train_phase(context, phase_dir, model, "3 re-train", experiment.epochs)


def train_baseline(context: RunContext[Experiment], fine_tuned: PhaseResult) -> PhaseResult:
    """Fine-tune on from phase 1, nothing eliminated, for as many epochs as search and re-training took."""
    phase_dir, experiment = context.run_dir.phase(BASELINE), context.experiment
    if phase_dir.is_done:
        return already_done(context.reporter, phase_dir, BASELINE)
    keras.utils.set_random_seed(experiment.seed)
    return _train_phase(context, phase_dir, load_model(fine_tuned.phase_dir), BASELINE, baseline_epochs(experiment))


def _train_phase(
    context: RunContext[Experiment],
    phase_dir: PhaseDir,
    model: PowerBertTextClassifier,
    title: str,
    epochs: int,
    status: Callable[[], str] | None = None,
) -> PhaseResult:
    phase_dir.path.mkdir(parents=True, exist_ok=True)
    started, is_search = time.perf_counter(), bool(model.backbone.retention_variables)
    before, eliminates = None, model.backbone.extraction == "hard"
    if eliminates:
        before = evaluate_dev(context, compiled_forward(model), phase_dir)
        context.reporter.say(f"{title}: dev before the first update  {format_scores(before)}")
    # The end of the search is its result: an earlier epoch with a better score has eliminated less.
    phases = (*phases_of(context.experiment), BASELINE)
    plan = TrainingPlan(
        title,
        epochs,
        functools.partial(compile_for_phase, context.experiment),
        "last" if is_search else "best",
        status,
        lambda history: write_metrics_csv(context.run_dir, phases, phase_dir, history),
    )
    outcome = train(context, model, phase_dir, plan)
    if is_search:
        _write_searched_retention(context, phase_dir)
    further = score_without_elimination(context, phase_dir, title) if eliminates else {}
    return finish_phase(context, phase_dir, title, outcome, started, {"scores_before_training": before, **further})


def _write_searched_retention(context: RunContext[Experiment], phase_dir: PhaseDir) -> None:
    backbone, speedup = load_model(phase_dir).backbone, context.experiment.speedup
    retention = (
        backbone.searched_retention()
        if speedup is None
        else backbone.retention_at_speedup(speedup, context.train.encoded.lengths)
    )
    write_json(
        phase_dir.retention,
        {
            "retention": list(retention),
            "masses": backbone.retention_masses(),
            "retention_parameters": backbone.retention_parameters,
            "unit": backbone.retention_unit,
            "gate": backbone.gate,
        },
    )
    context.reporter.say(f"2 search: retention configuration {format_retention(retention)}")
