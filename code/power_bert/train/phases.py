"""The three phases of PoWER-BERT (Goyal et al. 2020, section 3.4): fine-tune, search the configuration, re-train.

A fourth, optional phase is the baseline: it continues fine-tuning for as many epochs as search and re-training take.

Each phase has the signature ``phase(context, previous) → PhaseResult`` and its own folder, in which the DONE marker is
written last. An interrupted phase resumes, and a phase can be run alone from the folder of the phase before it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np

from power_bert.config.experiment import Experiment
from power_bert.config.values import Schedule
from power_bert.elimination.configuration import EncoderConfiguration
from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import build_classifier, plain_tokenizer, rebuild_classifier
from power_bert.model.int8_weights import dense_kernels, freeze_rounded_embeddings
from power_bert.model.pretrained import Pretrained
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.objectives.distiller import Distiller
from power_bert.predict.forward import compiled_forward
from power_bert.predict.metrics import format_scores
from power_bert.predict.score_warnings import warn_of_constant
from power_bert.runs.run_dir import BASELINE, PHASES, PhaseDir, write_run_json
from power_bert.runs.run_documents import read_configuration, read_metrics
from power_bert.runs.run_folder import baseline_epochs, phases_of
from power_bert.train.gradual_search import GradualSearch, points_lost
from power_bert.train.phase_end import PhaseResult, already_done, finish_phase, write_metrics_csv
from power_bert.train.self_distillation import (
    RETRAIN_ALPHA,
    SEARCH_ALPHA,
    Lesson,
    labels_alone,
    taught_by,
    with_augmented_texts,
)
from power_bert.train.training import (
    RunContext,
    TrainingPlan,
    compile_for_phase,
    evaluate_dev,
    start_bias,
    train_classifier,
)
from power_bert.train.without_elimination import score_without_elimination


def load_model(phase_dir: PhaseDir) -> PowerBertTextClassifier:
    """Load the checkpoint that a phase kept; a UserError if it has been deleted."""
    return load_own_classifier(phase_dir.existing_model())


def check_blocks(experiment: Experiment, num_layers: int) -> None:
    """Raise a UserError if there is nothing to search in this number of blocks."""
    searches = experiment.retention_config is None
    if searches and num_layers == 1 and not (experiment.has_target and experiment.width):
        raise UserError(
            "the BERT has one encoder block, of whose output only [CLS] is used: there are no tokens to eliminate. "
            "SPEEDUP or MAX_LOSS with WIDTH=1 can remove heads and neurons; `bash run.sh run --fine-tune-only` only "
            "fine-tunes"
        )


def fine_tune(context: RunContext[Experiment], pretrained: Callable[[], Pretrained]) -> PhaseResult:
    """Phase 1: fine-tune all weights without elimination. `pretrained` is called only if there is work to do."""
    phase_dir = context.run_dir.phase(PHASES[0])
    if phase_dir.is_done:
        return already_done(context.reporter, phase_dir, "fine-tuning")
    keras.utils.set_random_seed(context.experiment.seed)
    loaded = pretrained()
    for note in loaded.notes:
        context.reporter.say(note)
    task = context.experiment.task_definition
    model = build_classifier(loaded, task.num_outputs, task.class_names, context.experiment.max_length)
    start_bias(model, context.train.examples.labels)
    return _train_phase(context, phase_dir, model, "1 fine-tune", context.experiment.epochs)


def search(context: RunContext[Experiment], previous: PhaseResult) -> PhaseResult:
    """Phase 2: search the configuration, for a target (`GradualSearch`) or with LAMBDA (`elimination.search`)."""
    phase_dir, experiment = context.run_dir.phase(PHASES[1]), context.experiment
    if phase_dir.is_done:
        return already_done(context.reporter, phase_dir, "search")
    keras.utils.set_random_seed(experiment.seed)
    fine_tuned = load_model(previous.phase_dir)
    check_blocks(experiment, fine_tuned.backbone.num_layers)
    lesson = lesson_of_run(context, lambda: fine_tuned, SEARCH_ALPHA)
    if experiment.has_target:
        return GradualSearch(context, fine_tuned, phase_dir, lesson, _phase_names(context)).run()
    model = rebuild_classifier(
        fine_tuned,
        extraction="soft",
        gate=experiment.gate,
        retention_parameters=experiment.max_length,
        retention_unit=experiment.retention_unit,
        retention_profile=experiment.retention_profile,
    )
    configuration_search = model.backbone.search
    configuration_search.set_regularization(experiment.regularization, float(context.train.encoded.lengths.mean()))

    def progress() -> str:
        kept = " ".join(f"{mass:.1f}" for mass in configuration_search.masses()[:-1])
        parameters = configuration_search.parameters
        return f"of which regularizer {configuration_search.regularizer():.4f}  kept {kept} 1 of {parameters} tokens"

    return _train_phase(context, phase_dir, model, "2 search", experiment.search_epochs, lesson, progress)


def retrain(context: RunContext[Experiment], previous: PhaseResult) -> PhaseResult:
    """Phase 3: re-train with hard extraction, starting from the weights and the configuration of the search.

    If the configuration is given (RETENTION_CONFIG), there is no search and `previous` is phase 1.
    """
    phase_dir, experiment = context.run_dir.phase(PHASES[2]), context.experiment
    if phase_dir.is_done:
        return already_done(context.reporter, phase_dir, "re-training")
    keras.utils.set_random_seed(experiment.seed)
    trained = load_model(previous.phase_dir)
    num_layers = trained.backbone.num_layers
    if experiment.retention_config is None:
        configuration = read_configuration(previous.phase_dir.retention)
    else:
        configuration = EncoderConfiguration(Retention.parse(experiment.retention_config))
        write_run_json(phase_dir.retention, {**configuration.to_json(), "source": "RETENTION_CONFIG"})
    model = rebuild_classifier(
        trained,
        extraction="hard",
        retention=configuration.tokens.checked(num_layers, experiment.max_length),
        retention_jitter=experiment.retention_jitter,
        fuse_dropped=experiment.fuse,
    )
    rounded = list[keras.Variable]()
    if experiment.quantization_aware:
        freeze_rounded_embeddings(model)
        rounded = dense_kernels(model)
    fine_tuned = context.run_dir.phase(PHASES[0])
    if experiment.augment_copies and teaches(context):
        context = with_augmented_texts(context, plain_tokenizer(model))
        lesson = taught_by(load_model(fine_tuned), context, phase_dir.targets, RETRAIN_ALPHA)
    else:
        lesson = lesson_of_run(context, lambda: load_model(fine_tuned), RETRAIN_ALPHA)
    result = _train_phase(context, phase_dir, model, "3 re-train", experiment.epochs, lesson, rounded=rounded)
    for targets in (fine_tuned.targets, phase_dir.targets):
        targets.unlink(missing_ok=True)
    return result


def train_baseline(context: RunContext[Experiment], fine_tuned: PhaseResult) -> PhaseResult:
    """Continue the fine-tuning of phase 1 without elimination, for as many epochs as search and re-training took."""
    phase_dir, experiment = context.run_dir.phase(BASELINE), context.experiment
    if phase_dir.is_done:
        return already_done(context.reporter, phase_dir, BASELINE)
    keras.utils.set_random_seed(experiment.seed)
    return _train_phase(context, phase_dir, load_model(fine_tuned.phase_dir), BASELINE, baseline_epochs(experiment))


def lesson_of_run(
    context: RunContext[Experiment], teacher: Callable[[], PowerBertTextClassifier], alpha: Schedule
) -> Lesson:
    """Return what search and re-training learn from; `alpha` is the weight of the labels beside a teacher."""
    if not teaches(context):
        return labels_alone(context)
    return taught_by(teacher(), context, context.run_dir.phase(PHASES[0]).targets, alpha)


def teaches(context: RunContext[Experiment]) -> bool:
    """Return whether the fine-tuned model is a teacher: it is asked for, and better than a constant prediction."""
    if not context.experiment.self_distill:
        return False
    task = context.experiment.task_definition
    scores = read_metrics(context.run_dir.phase(PHASES[0]).metrics)["scores"]
    if any(warn_of_constant(task, np.asarray(context.dev.examples.labels), scores)):
        context.reporter.say(
            "the fine-tuned model is no better than a constant prediction: trained on the labels alone"
        )
        return False
    return True


def warn_of_loss(context: RunContext[Experiment], scores: Mapping[str, float]) -> Iterator[str]:
    """Yield a warning if the re-trained model has lost more than MAX_LOSS allows."""
    max_loss = context.experiment.max_loss
    if max_loss is not None and (loss := points_lost(context, scores)) > max_loss:
        yield (
            f"{loss:.2f} points below the baseline, more than MAX_LOSS={max_loss:g}, though the stage that "
            "it goes on from was within it; try a smaller MAX_LOSS, or more epochs (EPOCH)"
        )


def _phase_names(context: RunContext[Experiment]) -> tuple[str, ...]:
    return (*phases_of(context.experiment), BASELINE)


def _train_phase(
    context: RunContext[Experiment],
    phase_dir: PhaseDir,
    model: PowerBertTextClassifier,
    title: str,
    epochs: int,
    lesson: Lesson | None = None,
    status: Callable[[], str] | None = None,
    rounded: Sequence[keras.Variable] = (),
) -> PhaseResult:
    """Train one phase.

    Args:
        context: Context of the run.
        phase_dir: Where to write.
        model: Model to train.
        title: Title shown to the user.
        epochs: Number of epochs.
        lesson: What search and re-training learn from; None for fine-tuning.
        status: Further text for the progress bar.
        rounded: Kernels that are rounded to int8 after each training step.
    """
    phase_dir.path.mkdir(parents=True, exist_ok=True)
    started, before, extraction = time.perf_counter(), None, model.backbone.extraction
    is_search, eliminates = extraction == "soft", extraction == "hard"
    if eliminates:
        before = evaluate_dev(context, compiled_forward(model), phase_dir)
        context.reporter.say(f"{title}: dev before the first training step  {format_scores(before)}")
    trained: keras.Model = model
    if lesson is not None:
        steps = -(-len(context.train.encoded) // context.experiment.batch_size) * epochs
        trained = Distiller(model, lesson.objective, steps)
    # The end of the search is its result: an earlier epoch with a better score has eliminated less.
    phases = _phase_names(context)
    plan = TrainingPlan(
        title,
        epochs,
        functools.partial(compile_for_phase, context.experiment, rounded=rounded),
        "last" if is_search else "best",
        status,
        lambda history: write_metrics_csv(context.run_dir, phases, phase_dir, history),
        None if lesson is None else lesson.targets,
    )
    outcome = train_classifier(context, trained, phase_dir, plan)
    if is_search:
        _write_searched_configuration(context, phase_dir)
    further = score_without_elimination(context, phase_dir, title) if eliminates else {}
    scores = {"scores_before_training": before, **further}
    warnings = list(warn_of_loss(context, outcome["scores"])) if eliminates else []
    return finish_phase(context, phase_dir, title, outcome, started, scores, is_search, warnings)


def _write_searched_configuration(context: RunContext[Experiment], phase_dir: PhaseDir) -> None:
    backbone = load_model(phase_dir).backbone
    configuration = EncoderConfiguration(backbone.search.retention())
    write_run_json(
        phase_dir.retention,
        {
            **configuration.to_json(),
            "masses": backbone.search.masses(),
            "retention_parameters": backbone.retention_parameters,
            "unit": backbone.retention_unit,
            "gate": backbone.gate,
        },
    )
    context.reporter.say(f"2 search: configuration {configuration}")
