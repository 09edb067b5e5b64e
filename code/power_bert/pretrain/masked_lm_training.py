"""Masked language model training: intervals of training steps, each with an evaluation and a saved training state."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import keras

from power_bert.config.pretraining import SINUSOIDAL, PretrainingSettings
from power_bert.corpus.manifest import Corpus
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.masked_lm import PowerBertMaskedLM
from power_bert.model.student_kinds import ADAMW_EPSILON
from power_bert.pretrain.learning_rate import make_schedule
from power_bert.pretrain.masked_batches import Arrays, batch_shapes, evaluation_arrays, training_arrays
from power_bert.pretrain.masked_lm_evaluation import make_evaluation
from power_bert.pretrain.position_start import sinusoidal_positions
from power_bert.pretrain.prefetch import Prefetcher
from power_bert.pretrain.pretraining_folder import PretrainingDir
from power_bert.pretrain.progress import PretrainingProgress
from power_bert.pretrain.record_feeding import feed_records
from power_bert.pretrain.tracking import Tracker
from power_bert.pretrain.training_model import AccumulatedTraining, SynchronousAdamW
from power_bert.result_tables import csv_text, to_frame
from power_bert.storage.files import atomic_write_text
from power_bert.train.reporting import Reporter
from power_bert.train.training_state import load_training_state, save_training_state

# Amplitude of the sinusoids relative to the standard deviation of the token embeddings. Early in training positions are
# more informative than tokens. With 3 the loss after 2.6 million tokens was lower than with 6 (2 blocks, hidden 64).
_POSITIONS_TO_TOKENS = 3.0


@dataclass(frozen=True)
class Pretraining:
    """Objects that all parts of a pre-training use."""

    settings: PretrainingSettings
    corpus: Corpus
    folder: PretrainingDir
    reporter: Reporter
    tracker: Tracker

    @property
    def tokens_per_step(self) -> int:
        return self.settings.batch * self.corpus.length


def make_model(settings: PretrainingSettings, corpus: Corpus) -> AccumulatedTraining:
    """Build and compile the model with random weights."""
    backbone = PowerBertBackbone(
        vocabulary_size=corpus.tokenizer.vocabulary_size,
        num_layers=settings.layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden,
        intermediate_dim=settings.intermediate_dim,
        max_sequence_length=settings.positions or corpus.length,
        dropout=settings.dropout,
        attention_dropout=settings.dropout,
        activation="gelu_tanh",  # the one GELU that TF1, Hugging Face and keras-hub checkpoints can all name
        initializer_range=settings.weight_deviation,
        similarity=settings.similarity,
        dtype="mixed_bfloat16" if settings.precision == "bfloat16" else "float32",
    )
    if settings.position_start == SINUSOIDAL:
        table = backbone.embeddings.position
        rows, width = table.shape
        table.assign(sinusoidal_positions(rows, width, _POSITIONS_TO_TOKENS * settings.weight_deviation))
    backbone.pooler.trainable = False  # the masked language modeling head does not use it
    model = AccumulatedTraining(PowerBertMaskedLM(backbone), settings.accumulate)
    schedule = make_schedule(settings.schedule, settings.learning_rate, settings.warmup, settings.steps)
    optimizer = SynchronousAdamW(
        schedule,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
        beta_2=0.98,  # as RoBERTa: with few training steps, an average over the last thousand gradients is too slow
        epsilon=ADAMW_EPSILON,
    )
    model.compile(optimizer=optimizer)
    model.optimizer.build(model.trainable_variables)
    return model


def train_masked_lm(pretraining: Pretraining, model: AccumulatedTraining) -> list[dict[str, Any]]:
    """Run all training steps that an interrupted call has not done.

    Returns:
        One entry of figures per evaluation, those of interrupted calls included.

    Raises:
        UserError: A shard is corrupt, or the loss is not finite.
    """
    settings, corpus, reporter = pretraining.settings, pretraining.corpus, pretraining.reporter
    state = load_training_state(pretraining.folder.training_state, model)
    history: list[dict[str, Any]] = state["history"] if state else []
    done = history[-1]["step"] if history else 0
    totals = corpus.totals("train")
    reporter.say(
        f"{model.num_parameters:,} parameters; {totals['tokens']:,} training tokens in {totals['records']:,} records "
        f"of {corpus.length}; {settings.steps:,} training steps of {settings.batch} records"
    )
    if done:
        reporter.say(f"resumed after training step {done} of {settings.steps}")
    if done == settings.steps:
        return history
    with Prefetcher(lambda: training_arrays(corpus, settings, done)) as batches:
        progress = PretrainingProgress(
            reporter, batches, pretraining.tokens_per_step, done, settings.steps, settings.interval
        )
        keras.Model.fit(
            model,
            feed_records(batches, settings.steps - done, batch_shapes(corpus, settings)),
            # One interval between two evaluations is an epoch for Keras.
            initial_epoch=done // settings.interval,
            epochs=-(-settings.steps // settings.interval),
            steps_per_epoch=settings.interval,
            shuffle=False,
            verbose=0,
            callbacks=[progress, IntervalEnd(pretraining, history, batches, progress)],
        )
    return history


def summarize(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of the last evaluation, with throughput and time fractions of the whole training."""
    last = history[-1]
    starts = [0.0, *(entry["seconds"] for entry in history)]
    seconds = [entry["seconds"] - start for entry, start in zip(history, starts, strict=False)]
    shares = {
        name: sum(entry[name] * of_interval for entry, of_interval in zip(history, seconds, strict=True)) / sum(seconds)
        for name in ("waiting_share", "preparing_share")
    }
    return {**last, "tokens_per_second": last["tokens"] / last["seconds"], **shares}


class IntervalEnd(keras.callbacks.Callback):
    """Callback that ends an interval: it evaluates, reports the figures and saves the training state.

    Args:
        pretraining: Shared objects of the pre-training.
        history: One entry of figures per interval; appended in place.
        batches: Prefetcher, which measures how long training waits for batches.
        progress: Progress display, which shows the scores.
    """

    def __init__(
        self,
        pretraining: Pretraining,
        history: list[dict[str, Any]],
        batches: Prefetcher[Arrays],
        progress: PretrainingProgress,
    ) -> None:
        super().__init__()
        self.pretraining, self.history, self.batches, self.progress = pretraining, history, batches, progress
        self._is_compiled = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        arrays = evaluation_arrays(self.pretraining.corpus, self.pretraining.settings)
        self._evaluate = make_evaluation(self.model.masked_lm, arrays)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._start_clock(self.progress.done)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._is_compiled:  # the first training step of this process compiles, so it is not timed
            self._is_compiled = True
            self._start_clock(self.progress.done)

    def _start_clock(self, step: int) -> None:
        self._started, self._first = time.perf_counter(), step
        self._waited, self._worked = self.batches.waited_seconds, self.batches.working_seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        entry = self._training_figures(float((logs or {})["loss"]))
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # on JAX fit keeps the variables outside the model
        entry |= self._evaluate()
        self.history.append(entry)
        self._report(entry)
        save_training_state(self.pretraining.folder.training_state, self.model, {"history": self.history})

    def _training_figures(self, loss: float) -> dict[str, Any]:
        """Return the training figures of the interval that has just ended, and the training time so far in seconds."""
        done, tokens_per_step = self.progress.done, self.pretraining.tokens_per_step
        before = self.history[-1] if self.history else {"step": 0, "seconds": 0.0}
        clocked, seconds = done - self._first, time.perf_counter() - self._started
        # The step that compiled is assumed to take as long as the others, unless it was the only one.
        of_interval = seconds / clocked * (done - before["step"]) if clocked else seconds
        return {
            "step": done,
            "tokens": done * tokens_per_step,
            "seconds": before["seconds"] + of_interval,
            "train_loss": loss,
            "tokens_per_second": (done - before["step"]) * tokens_per_step / of_interval,
            "waiting_share": (self.batches.waited_seconds - self._waited) / seconds,
            "preparing_share": (self.batches.working_seconds - self._worked) / seconds,
        }

    def _report(self, entry: dict[str, Any]) -> None:
        self.progress.score_text = f"  perplexity {entry['perplexity']:.1f}"
        self.pretraining.reporter.say(
            f"step {entry['step']:,}  loss {entry['train_loss']:.4f}  test loss {entry['test_loss']:.4f}  perplexity "
            f"{entry['perplexity']:.2f}  masked accuracy {entry['masked_accuracy']:.4f}  "
            f"{entry['tokens_per_second']:,.0f} tokens/s  {entry['waiting_share']:.1%} waiting for data"
        )
        figures = {name: value for name, value in entry.items() if name != "step"}
        for name, value in figures.items():
            self.pretraining.reporter.scalar(f"pretrain/{name}", value, entry["step"])
        self.pretraining.tracker.log(figures, entry["step"])
        atomic_write_text(self.pretraining.folder.metrics_csv, csv_text(to_frame(self.history)))
