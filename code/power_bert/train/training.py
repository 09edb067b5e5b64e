"""Training of a classifier; each epoch ends with dev scores, the kept checkpoint and the state to resume from."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import keras
import numpy as np

from power_bert.config.experiment import Experiment
from power_bert.config.validation import TrainingSettings
from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.student_kinds import ADAMW_EPSILON
from power_bert.predict.example_predictor import to_predictions
from power_bert.predict.forward import Forward, compiled_forward
from power_bert.predict.metrics import compute_scores, format_scores, is_defined
from power_bert.predict.predict_texts import EVALUATION_BATCH_SIZE, predict_outputs
from power_bert.runs.run_dir import PhaseDir, RunDir
from power_bert.storage.files import atomic_directory
from power_bert.text.batches import TrainingBatches
from power_bert.text.examples import Examples
from power_bert.text.predictions import read_predictions, write_predictions
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.train.feeding import feed_training
from power_bert.train.optimizers import LinearWarmupDecay, QuantizationAwareAdamW
from power_bert.train.reporting import Reporter, TrainingProgress
from power_bert.train.training_state import load_training_state, save_training_state
from power_bert_runtime.encoded_texts import EncodedTexts

Settings = TypeVar("Settings", bound=TrainingSettings, covariant=True)


@dataclass(frozen=True)
class EncodedExamples:
    """Examples of one file and their token ids."""

    examples: Examples
    encoded: EncodedTexts

    @classmethod
    def of(cls, examples: Examples, tokenizer: WordPieceTokenizer, max_length: int) -> EncodedExamples:
        return cls(examples, tokenizer.encode(examples.first, examples.second, max_length))


@dataclass(frozen=True)
class RunContext(Generic[Settings]):
    """Settings, run directory, reporter and encoded data, which all phases of a run use."""

    experiment: Settings
    run_dir: RunDir
    reporter: Reporter
    train: EncodedExamples
    dev: EncodedExamples


@dataclass(frozen=True)
class TrainingPlan:
    """How one phase trains.

    Attributes:
        title: Title of the phase, shown to the user.
        epochs: Passes over the training set.
        compile_model: Function (model, total training steps) that compiles the model.
        keep: "best" keeps the checkpoint of the epoch with the best dev score, "last" that of the last epoch.
        status: Function that returns further text for the progress bar; None for no text.
        on_history: Function called after every epoch with the entries of all epochs so far.
        targets: Targets of the loss, float32 (examples, …); None for the labels.
        callbacks: Function (training steps already done, total training steps) that returns further callbacks.
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
    rounded: Sequence[keras.Variable] = (),
) -> None:
    """Compile a model with AdamW, whose learning rate warms up and decays linearly.

    Args:
        model: Model to compile in place.
        total_steps: Training steps of the whole training.
        peak: Peak learning rate.
        warmup: Fraction of the training steps in which the learning rate rises.
        weight_decay: Decoupled weight decay.
        clip_norm: Largest global norm of the gradient.
        retention_rate: Learning rate of the retention parameters, if the model has any.
        epsilon: Term added to the root of the mean squared gradient; BERT's value by default.
        rounded: Kernels that are rounded to int8 after each training step.
    """
    optimizer = QuantizationAwareAdamW(
        LinearWarmupDecay(peak, int(warmup * total_steps), total_steps),
        retention_rate=retention_rate,
        weight_decay=weight_decay,
        global_clipnorm=clip_norm,
        epsilon=epsilon,
        rounded=rounded,
    )
    model.compile(optimizer=optimizer, metrics=[])
    model.optimizer.build(model.trainable_variables)


def compile_for_phase(
    experiment: Experiment, model: keras.Model, total_steps: int, rounded: Sequence[keras.Variable] = ()
) -> None:
    """Compile with AdamW: LR_SOFT_EXTRACT for the retention parameters, LR_BERT for all other weights."""
    compile_with_adamw(
        model,
        total_steps,
        experiment.lr_bert,
        experiment.warmup,
        experiment.weight_decay,
        experiment.clip_norm,
        experiment.lr_soft_extract,
        rounded=rounded,
    )


def evaluate_dev(
    context: RunContext[TrainingSettings], forward: Forward, phase_dir: PhaseDir, name: str = "dev.candidate"
) -> dict[str, float]:
    """Write the dev predictions to ``predictions_<name>.tsv`` of the phase and score that file."""
    task = context.experiment.task_definition
    outputs = predict_outputs(forward, context.dev.encoded, EVALUATION_BATCH_SIZE, context.experiment.max_length)
    path = phase_dir.predictions(name)
    write_predictions(path, task, to_predictions(task, outputs))
    labels = context.dev.examples.labels
    if labels is None:
        raise ValueError("the dev split has no labels")
    return compute_scores(task.metrics, labels, read_predictions(path, task))


def train_classifier(
    context: RunContext[TrainingSettings], model: keras.Model, phase_dir: PhaseDir, plan: TrainingPlan
) -> dict[str, Any]:
    """Train a classifier, or resume after the last finished epoch of an interrupted training.

    The phase folder then holds the kept checkpoint in ``model/`` and its predictions in ``predictions_dev.tsv``.

    Args:
        context: Context of the run.
        model: A classifier, or a model such as the distiller that predicts and is saved like one.
        phase_dir: Directory of the phase.
        plan: How the phase trains.

    Returns:
        {"history": one entry per epoch, "best_epoch": number from 1, "scores": dev scores of the kept checkpoint}.

    Raises:
        UserError: The loss is not finite, or no epoch has a defined score.
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
        data = feed_training(
            lambda: (batch for epoch in range(first, plan.epochs) for batch in batches.epoch(epoch)),
            steps * (plan.epochs - first),
            "float32" if plan.targets is not None or experiment.task_definition.is_regression else "int64",
            () if plan.targets is None else plan.targets.shape[1:],
        )
        # One call of fit for all epochs, because each call traces the graph anew. keras_hub's own fit would apply its
        # text preprocessing to batches that are already arrays.
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
    """Writes dev predictions and scores, the kept checkpoint and the training state after every epoch.

    Args:
        context: Context of the run.
        phase_dir: Directory of the phase.
        plan: How the phase trains, and which checkpoint it keeps.
        progress: {"history", "best_epoch"}, updated in place.
        display: Progress bar, which shows the scores.
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
            keep_checkpoint(self.model, self.phase_dir)
        _report(self.context, self.display, entry)
        self.plan.on_history(history)
        save_training_state(self.phase_dir.training_state, self.model, self.progress)


def _is_best(history: list[dict[str, Any]]) -> bool:
    """Return whether the last epoch beats all earlier ones; an undefined score (NaN) never does."""
    *earlier, last = (next(iter(entry["scores"].values())) for entry in history)
    return is_defined(last) and all(not is_defined(score) or last > score for score in earlier)


def keep_checkpoint(model: keras.Model, phase_dir: PhaseDir) -> None:
    """Save a model as the checkpoint of a phase, with the dev predictions that `evaluate_dev` has just written."""
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
    """Set a regressor's output bias to the mean training score, which the first steps would otherwise have to learn."""
    if model.is_regressor and labels is not None:
        model.output_bias.assign(np.array([labels.mean()], dtype=np.float32))
