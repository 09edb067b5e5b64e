"""One training: epochs of updates, each followed by dev predictions, the best checkpoint and the state to resume."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import keras
import numpy as np

from power_bert.config import Experiment
from power_bert.errors import UserError
from power_bert.files import atomic_directory
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.run_dir import PhaseDir, RunDir
from power_bert.settings import ADAMW_EPSILON, TrainingSettings
from power_bert.text.batches import TrainingBatches
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.text.examples import Examples
from power_bert.text.predictions import read_predictions, write_predictions
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.train.feeding import training_data
from power_bert.train.forward import Forward, compiled_forward
from power_bert.train.metrics import compute_scores, format_scores, is_defined
from power_bert.train.optimizers import LinearWarmupDecay, TwoRateAdamW
from power_bert.train.predict import EVALUATION_BATCH_SIZE, predict_outputs, to_predictions
from power_bert.train.reporting import Reporter, TrainingProgress
from power_bert.train.training_state import load_training_state, save_training_state

# How far an average retention parameter can move in a search with a target. From 1 to 0 is 1; the first block, on which
# λ · j presses least, moves a quarter of the average.
_TRAVEL = 4.0
Settings = TypeVar("Settings", bound=TrainingSettings, covariant=True)


@dataclass(frozen=True)
class Split:
    """Examples of one file and their token ids."""

    examples: Examples
    encoded: EncodedTexts

    @classmethod
    def of(cls, examples: Examples, tokenizer: WordPieceTokenizer, max_length: int) -> Split:
        return cls(examples, tokenizer.encode(examples.first, examples.second, max_length))


@dataclass(frozen=True)
class RunContext(Generic[Settings]):
    """What every phase of a run shares."""

    experiment: Settings
    run_dir: RunDir
    reporter: Reporter
    train: Split
    dev: Split


@dataclass(frozen=True)
class TrainingPlan:
    """How one phase trains.

    Attributes:
        title: shown to the user.
        epochs: passes over the training set.
        compile_model: (model, updates of the whole training) → the model has its optimizer.
        keep: "best" keeps the checkpoint of the epoch with the best dev score, "last" that of the last epoch.
        status: further text for the progress bar.
        on_history: told the history after every epoch.
        targets: what the loss compares with, float32 (examples, …); None for the labels.
        callbacks: (updates done before, updates of the whole training) → further callbacks.
    """

    title: str
    epochs: int
    compile_model: Callable[[keras.Model, int], None]
    keep: Literal["best", "last"]
    status: Callable[[], str] | None
    on_history: Callable[[list[dict[str, Any]]], None]
    targets: np.ndarray | None = None
    callbacks: Callable[[int, int], list[keras.callbacks.Callback]] = lambda done, total: []


def compile_with_adamw(
    model: keras.Model,
    total_steps: int,
    peak: float,
    warmup: float,
    weight_decay: float,
    clip_norm: float,
    retention_rate: float = 0.0,
    epsilon: float = ADAMW_EPSILON,
) -> None:
    """AdamW with linear warm-up and decay of its rate.

    Args:
        model: compiled in place.
        total_steps: updates of the whole training.
        peak: the highest rate.
        warmup: share of the updates in which it rises.
        weight_decay: decoupled.
        clip_norm: largest global norm of the gradient.
        retention_rate: of retention parameters, where the model has any.
        epsilon: added to the root of the mean squared gradient; BERT's by default.
    """
    optimizer = TwoRateAdamW(
        LinearWarmupDecay(peak, int(warmup * total_steps), total_steps),
        retention_rate=retention_rate,
        weight_decay=weight_decay,
        global_clipnorm=clip_norm,
        epsilon=epsilon,
    )
    model.compile(optimizer=optimizer, metrics=[])
    model.optimizer.build(model.trainable_variables)


def compile_for_phase(experiment: Experiment, model: keras.Model, total_steps: int) -> None:
    """AdamW: LR_BERT for all weights but the retention parameters, which have LR_SOFT_EXTRACT."""
    compile_with_adamw(
        model,
        total_steps,
        experiment.lr_bert,
        experiment.warmup,
        experiment.weight_decay,
        experiment.clip_norm,
        _retention_rate(experiment, total_steps),
    )


def _retention_rate(experiment: Experiment, total_steps: int) -> float:
    """LR_SOFT_EXTRACT; with SPEEDUP at least so much that the target can be reached in half of the search."""
    if experiment.speedup is None:
        return experiment.lr_soft_extract
    return max(experiment.lr_soft_extract, _TRAVEL / total_steps)


def evaluate_dev(
    context: RunContext[TrainingSettings], forward: Forward, phase_dir: PhaseDir, name: str = "dev.candidate"
) -> dict[str, float]:
    """Dev scores, computed from a predictions file: ``predictions_<name>.tsv`` of the phase."""
    task = context.experiment.task_definition
    outputs = predict_outputs(forward, context.dev.encoded, EVALUATION_BATCH_SIZE, context.experiment.max_length)
    path = phase_dir.predictions(name)
    write_predictions(path, task, to_predictions(task, outputs))
    labels = context.dev.examples.labels
    if labels is None:
        raise ValueError("the dev split has no labels")
    return compute_scores(task.metrics, labels, read_predictions(path, task))


def train(
    context: RunContext[TrainingSettings], model: keras.Model, phase_dir: PhaseDir, plan: TrainingPlan
) -> dict[str, Any]:
    """Train, or go on after the last finished epoch of an interrupted training.

    Leaves the kept checkpoint in ``model/`` and its ``predictions_dev.tsv`` in the phase folder.

    Args:
        context: of the run.
        model: a classifier, or what predicts and is saved as one.
        phase_dir: where to write.
        plan: how to train.

    Returns:
        {"history": one entry an epoch, "best_epoch": number from 1, "scores": dev scores of the kept checkpoint}.

    Raises:
        UserError: the loss is not finite, or no epoch has a defined score.
    """
    experiment = context.experiment
    targets = context.train.examples.labels if plan.targets is None else plan.targets
    batches = TrainingBatches(
        context.train.encoded, targets, experiment.batch_size, experiment.max_length, experiment.seed
    )
    steps = batches.steps_per_epoch
    plan.compile_model(model, steps * plan.epochs)
    progress = load_training_state(phase_dir.training_state, model) or {"history": [], "best_epoch": None}
    history, first = progress["history"], len(progress["history"])
    if first:
        context.reporter.say(f"{plan.title}: resumed after epoch {first} of {plan.epochs}")
    if first < plan.epochs:
        display = TrainingProgress(context.reporter, plan.title, steps, plan.epochs, plan.status)
        data = training_data(
            lambda: (batch for epoch in range(first, plan.epochs) for batch in batches.epoch(epoch)),
            steps * (plan.epochs - first),
            "float32" if plan.targets is not None or experiment.task_definition.is_regression else "int64",
            () if plan.targets is None else plan.targets.shape[1:],
        )
        # One fit for all epochs, as each call of fit traces the graph anew. Not the task's own fit, which maps text
        # preprocessing over batches that are arrays already.
        keras.Model.fit(
            model,
            data,
            initial_epoch=first,
            epochs=plan.epochs,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[
                display,
                *plan.callbacks(first * steps, plan.epochs * steps),
                EpochEnd(context, phase_dir, plan, progress, display),
            ],
        )
    if progress["best_epoch"] is None:
        raise UserError(
            f"{plan.title}: the dev score is undefined after every epoch (all predictions are the same); "
            "try another learning rate (LR_BERT) or more epochs (EPOCH)"
        )
    return {**progress, "scores": history[progress["best_epoch"] - 1]["scores"]}


class EpochEnd(keras.callbacks.Callback):
    """After every epoch: dev predictions and scores, the kept checkpoint, the state to resume from.

    Args:
        context: of the run.
        phase_dir: where to write.
        plan: what to keep.
        progress: {"history", "best_epoch"}, updated in place.
        display: told the scores.
    """

    def __init__(
        self,
        context: RunContext[TrainingSettings],
        phase_dir: PhaseDir,
        plan: TrainingPlan,
        progress: dict[str, Any],
        display: TrainingProgress,
    ) -> None:
        super().__init__()
        self.context, self.phase_dir, self.plan = context, phase_dir, plan
        self.progress, self.display = progress, display

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forward = compiled_forward(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        trained = time.perf_counter()
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # on JAX the variables live outside the model while fit runs
        history = self.progress["history"]
        entry = {
            "epoch": epoch + 1,
            "train_loss": float((logs or {})["loss"]),
            "scores": evaluate_dev(self.context, self._forward, self.phase_dir),
            "train_seconds": trained - self._started,
            "train_examples_per_second": len(self.context.train.encoded) / (trained - self._started),
            "eval_seconds": time.perf_counter() - trained,
        }
        history.append(entry)
        if self.plan.keep == "last" or _is_best(history):
            self.progress["best_epoch"] = epoch + 1
            _keep_checkpoint(self.model, self.phase_dir)
        _report(self.context, self.display, entry)
        self.plan.on_history(history)
        save_training_state(self.phase_dir.training_state, self.model, self.progress)


def _is_best(history: list[dict[str, Any]]) -> bool:
    """Whether the last epoch beats all earlier ones; an undefined score (NaN) never does."""
    *earlier, last = (next(iter(entry["scores"].values())) for entry in history)
    return is_defined(last) and all(not is_defined(score) or last > score for score in earlier)


def _keep_checkpoint(model: keras.Model, phase_dir: PhaseDir) -> None:
    with atomic_directory(phase_dir.model) as folder:
        model.save_to_preset(str(folder))
    os.replace(phase_dir.predictions("dev.candidate"), phase_dir.predictions("dev"))


def _report(context: RunContext[TrainingSettings], display: TrainingProgress, entry: dict[str, Any]) -> None:
    scores = format_scores(entry["scores"])
    display.score_text = f"  dev {scores}"
    status = f"  {display.status()}" if display.status else ""
    context.reporter.say(
        f"{display.title}: epoch {entry['epoch']}/{display.epochs}  loss {entry['train_loss']:.4f}  dev {scores}"
        f"  {entry['train_seconds']:.1f} s, {entry['train_examples_per_second']:.0f} examples/s{status}"
    )
    for name, value in entry["scores"].items():
        context.reporter.scalar(f"{display.title}/dev_{name}", value, entry["epoch"] * display.steps_per_epoch)


def start_bias(model: PowerBertTextClassifier, labels: np.ndarray | None) -> None:
    """Let a regressor start from the mean training score; otherwise the first updates only learn that constant."""
    if model.is_regressor and labels is not None:
        model.output_bias.assign(np.array([labels.mean()], dtype=np.float32))
