"""Tests of power_bert.train.training, .reporting and .predict: one training, without a whole run around it."""

import dataclasses
import functools
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest
from keras import ops
from rich.console import Console

from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.predict.example_predictor import to_predictions
from power_bert.predict.forward import compiled_forward
from power_bert.predict.predict_texts import predict_outputs
from power_bert.runs.run_dir import PhaseDir, RunDir
from power_bert.text.examples import read_examples
from power_bert.text.glue_tasks import get_task
from power_bert.text.predictions import read_predictions, write_predictions
from power_bert.train import training
from power_bert.train.optimizers import LinearWarmupDecay, TwoRateAdamW
from power_bert.train.phases import load_model
from power_bert.train.reporting import Reporter, TrainingProgress
from power_bert.train.training import (
    EncodedExamples,
    EpochEnd,
    RunContext,
    TrainingPlan,
    compile_for_phase,
    start_bias,
    train_classifier,
)
from power_bert.train.training_state import load_training_state, save_training_state

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *".,?"]
MAX_LENGTH = 24


def make_model(num_classes: int = 2, **changes: Any) -> PowerBertTextClassifier:
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 4, "intermediate_dim": 6, "max_sequence_length": 40}
    preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(VOCABULARY), MAX_LENGTH)
    return PowerBertTextClassifier(PowerBertBackbone(len(VOCABULARY), **(sizes | changes)), num_classes, preprocessor)


@pytest.fixture
def context(make_experiment: Callable[..., Experiment], tmp_path: Path) -> Iterator[RunContext[Experiment]]:
    experiment = make_experiment(tmp_path / "run", max_length=MAX_LENGTH)
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    tokenizer = PowerBertTokenizer(VOCABULARY).word_pieces
    splits = {
        split: EncodedExamples.of(
            read_examples(experiment.task_definition, split, experiment.data_dir), tokenizer, MAX_LENGTH
        )
        for split in ("train", "dev")
    }
    with Reporter(run_dir.log, run_dir.tensorboard, Console(file=io.StringIO())) as reporter:
        yield RunContext(experiment, run_dir, reporter, **splits)


@pytest.fixture
def phase_dir(context: RunContext[Experiment]) -> PhaseDir:
    folder = context.run_dir.phase("1_fine_tune")
    folder.path.mkdir()
    return folder


class ScriptedEpochs:
    """Epochs without training: before each one ends the head's bias becomes its number, and its score is given."""

    def __init__(
        self, context: RunContext[Experiment], phase_dir: PhaseDir, keep: Literal["best", "last"], epochs: int
    ) -> None:
        self.model, self.phase_dir, self.context = make_model(), phase_dir, context
        compile_for_phase(context.experiment, self.model, total_steps=10)
        self.histories: list[int] = []
        self.progress: dict[str, Any] = {"history": [], "best_epoch": None}
        self.plan = TrainingPlan(
            "1 test",
            epochs,
            functools.partial(compile_for_phase, context.experiment),
            keep,
            None,
            lambda history: self.histories.append(len(history)),
        )
        self.display = TrainingProgress(context.reporter, "1 test", 5, epochs)
        self.callback = EpochEnd(context, phase_dir, self.plan, self.progress, self.display)
        self.callback.set_model(self.model)
        self.callback.on_train_begin()

    def run(self, scores: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        for epoch, score in enumerate(scores):

            def evaluate(
                context: RunContext[Experiment], *_: Any, epoch: int = epoch, score: float = score
            ) -> dict[str, float]:
                classes = np.full(len(context.dev.encoded), epoch % 2)
                write_predictions(self.phase_dir.predictions("dev.candidate"), get_task("cola"), classes)
                return {"matthews": score}

            monkeypatch.setattr(training, "evaluate_dev", evaluate)
            self.callback.on_epoch_begin(epoch)
            self.model.output_dense.bias.assign([epoch + 1.0, 0.0])
            self.callback.on_epoch_end(epoch, {"loss": 0.5})

    def kept(self) -> float:
        return float(ops.convert_to_numpy(load_model(self.phase_dir).output_dense.bias)[0])


NAN = math.nan


class TestKeptCheckpoint:
    @pytest.mark.parametrize(
        ("scores", "best"),
        [
            ([0.1, 0.3, 0.2], 2),
            ([0.3, 0.3, 0.3], 1),
            ([-0.2, -0.1, -0.3], 2),
            ([NAN, 0.1, NAN], 2),
            ([0.2, NAN, 0.3], 3),
            ([0.2, NAN, 0.1], 1),
            ([NAN, -0.5, NAN, -0.4], 4),
            ([0.1, math.inf], 1),
        ],
    )
    def test_best(
        self,
        scores: list[float],
        best: int,
        context: RunContext[Experiment],
        phase_dir: PhaseDir,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        epochs = ScriptedEpochs(context, phase_dir, "best", len(scores))
        epochs.run(scores, monkeypatch)
        assert epochs.progress["best_epoch"] == best == epochs.kept()
        kept = read_predictions(phase_dir.predictions("dev"), get_task("cola"))
        assert set(kept) == {(best - 1) % 2}, "the predictions are those of the kept checkpoint"
        assert epochs.histories == list(range(1, len(scores) + 1))

    def test_last(self, context: RunContext[Experiment], phase_dir: PhaseDir, monkeypatch: pytest.MonkeyPatch) -> None:
        epochs = ScriptedEpochs(context, phase_dir, "last", 3)
        epochs.run([0.5, 0.1, NAN], monkeypatch)
        assert epochs.progress["best_epoch"] == 3 == epochs.kept()

    def test_none_has_a_score(
        self, context: RunContext[Experiment], phase_dir: PhaseDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        epochs = ScriptedEpochs(context, phase_dir, "best", 2)
        epochs.run([NAN, NAN], monkeypatch)
        assert not phase_dir.model.exists() and not phase_dir.predictions("dev").exists()
        # The training that goes on from there has no epoch left and nothing to show.
        with pytest.raises(UserError, match=r"1 test: the dev score is undefined .* try another .*LR_BERT.*EPOCH"):
            train_classifier(context, make_model(), phase_dir, epochs.plan)

    def test_the_state_is_that_of_the_last_epoch_and_not_of_the_best(
        self, context: RunContext[Experiment], phase_dir: PhaseDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        epochs = ScriptedEpochs(context, phase_dir, "best", 3)
        epochs.run([0.4, 0.2], monkeypatch)
        model = make_model()
        compile_for_phase(context.experiment, model, total_steps=10)
        progress = load_training_state(phase_dir.training_state, model)
        assert progress is not None and progress["best_epoch"] == 1
        assert [entry["scores"]["matthews"] for entry in progress["history"]] == [0.4, 0.2]
        assert float(ops.convert_to_numpy(model.output_dense.bias)[0]) == 2.0

    def test_a_finished_training_is_not_trained_again(
        self, context: RunContext[Experiment], phase_dir: PhaseDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        epochs = ScriptedEpochs(context, phase_dir, "best", 2)
        epochs.run([0.4, 0.2], monkeypatch)
        monkeypatch.setattr(keras.Model, "fit", None)
        outcome = train_classifier(context, make_model(), phase_dir, epochs.plan)
        assert (outcome["best_epoch"], outcome["scores"]) == (1, {"matthews": 0.4})


class TestCompile:
    def test_optimizer_has_the_settings_of_the_experiment(self, context: RunContext[Experiment]) -> None:
        experiment = dataclasses.replace(
            context.experiment, lr_bert=1e-3, lr_soft_extract=0.25, warmup=0.2, weight_decay=0.05, clip_norm=2.0
        )
        model = make_model()
        compile_for_phase(experiment, model, total_steps=50)
        optimizer = model.optimizer
        assert isinstance(optimizer, TwoRateAdamW) and optimizer.built
        assert (optimizer.retention_rate, optimizer.weight_decay, optimizer.global_clipnorm) == (0.25, 0.05, 2.0)
        schedule = optimizer._learning_rate
        assert isinstance(schedule, LinearWarmupDecay)
        assert schedule.get_config() == {"peak": 1e-3, "warmup_steps": 10, "total_steps": 50}

    def test_biases_norms_and_retention_are_not_decayed(self, context: RunContext[Experiment]) -> None:
        model = make_model(extraction="soft")
        compile_for_phase(context.experiment, model, total_steps=50)
        decayed = {
            variable.path.rsplit("/", 1)[-1]
            for variable in model.trainable_variables
            if model.optimizer._use_weight_decay(variable)
        }
        assert decayed == {"kernel", "token", "position", "segment"}

    def test_loss_is_that_of_the_task(self, context: RunContext[Experiment]) -> None:
        for outputs, loss in ((1, keras.losses.MeanSquaredError), (2, keras.losses.SparseCategoricalCrossentropy)):
            model = make_model(outputs)
            compile_for_phase(context.experiment, model, total_steps=5)
            assert isinstance(model.loss, loss)


def test_a_regressor_starts_from_the_mean_score() -> None:
    regressor, classifier = make_model(1), make_model(2)
    for model in (regressor, classifier):
        start_bias(model, np.array([1.0, 2.0, 4.5]))
    assert ops.convert_to_numpy(regressor.output_dense.bias) == pytest.approx([2.5])
    assert ops.convert_to_numpy(classifier.output_dense.bias).tolist() == [0.0, 0.0]


class TestPredict:
    def test_rows_are_in_the_order_of_the_file_whatever_the_batch_size(self, context: RunContext[Experiment]) -> None:
        model, encoded = make_model(), context.dev.encoded
        assert len(set(encoded.lengths)) > 2
        one_by_one, all_at_once = (
            predict_outputs(compiled_forward(model), encoded, size, MAX_LENGTH) for size in (5, 64)
        )
        np.testing.assert_allclose(one_by_one, all_at_once, atol=1e-5)
        for row in (0, 7, 11):
            ids = encoded.token_ids[row][None]
            inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": np.ones_like(ids)}
            np.testing.assert_allclose(ops.convert_to_numpy(model(inputs))[0], all_at_once[row], atol=1e-5)

    def test_to_predictions(self) -> None:
        outputs = np.array([[0.1, 0.4], [3.0, -1.0]], np.float32)
        classes = to_predictions(get_task("cola"), outputs)
        assert classes.tolist() == [1, 0] and classes.dtype == np.int64
        scores = to_predictions(get_task("sts-b"), outputs[:, :1])
        assert scores == pytest.approx([0.1, 3.0]) and scores.dtype == np.float64


class TestProgress:
    @pytest.mark.parametrize("loss", [NAN, math.inf])
    def test_a_loss_that_is_not_finite_stops_the_training(self, loss: float, context: RunContext[Experiment]) -> None:
        display = TrainingProgress(context.reporter, "2 search", steps_per_epoch=5, epochs=3)
        display.on_epoch_begin(1)
        with pytest.raises(
            UserError, match=rf"2 search: the loss became {loss} at training step 8.*smaller LR_BERT.*RESUME=0"
        ):
            display.on_train_batch_end(2, {"loss": loss})

    def test_a_terminal_shows_loss_score_and_masses(self, context: RunContext[Experiment]) -> None:
        screen = Console(file=io.StringIO(), force_terminal=True, width=150)
        context.reporter.console = screen
        display = TrainingProgress(context.reporter, "2 search", 5, 3, lambda: "mass 17.0 9.5")
        display.score_text = "  dev matthews 41.20"
        display.on_epoch_begin(1)
        display.on_train_batch_end(0, {"loss": 0.25})
        display._bar.refresh()
        shown = screen.file.getvalue()  # type: ignore[attr-defined]
        display.on_epoch_end(1)
        assert all(text in shown for text in ("6/15", "epoch 2/3", "loss 0.2500", "matthews 41.20", "mass 17.0 9.5"))


def test_reporter_says_and_logs(tmp_path: Path) -> None:
    screen = Console(file=io.StringIO())
    with (
        pytest.raises(ZeroDivisionError),
        Reporter(tmp_path / "log.txt", tmp_path / "tensorboard", screen) as reporter,
    ):
        reporter.say("a [bold] word: λ")
        reporter.log("for the file")
        reporter.scalar("loss", 0.5, 1)
        reporter.scalar("loss", NAN, 2)
        raise ZeroDivisionError("why")
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        *("a [bold] word: λ", "for the file", "stopped: ZeroDivisionError why")
    ]
    assert screen.file.getvalue() == "a [bold] word: λ\n"  # type: ignore[attr-defined]
    assert list((tmp_path / "tensorboard").glob("events.out.*"))


def test_an_error_takes_the_bar_off_the_screen(tmp_path: Path) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True)
    with pytest.raises(KeyboardInterrupt), Reporter(tmp_path / "log.txt", tmp_path / "board", screen) as reporter:
        display = TrainingProgress(reporter, "1 fine-tune", 5, 3)
        display.on_epoch_begin(0)
        assert display._bar.live.is_started
        raise KeyboardInterrupt
    assert not display._bar.live.is_started


def test_saving_the_state_does_not_change_it(context: RunContext[Experiment], tmp_path: Path) -> None:
    model = make_model()
    compile_for_phase(context.experiment, model, total_steps=5)
    save_training_state(tmp_path / "a.npz", model, {"history": []})
    save_training_state(tmp_path / "b.npz", model, {"history": []})
    with np.load(tmp_path / "a.npz") as first, np.load(tmp_path / "b.npz") as second:
        assert first.files == second.files
        assert all(np.array_equal(first[name], second[name]) for name in first.files)


def test_work_in_parts_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal by a line every few seconds."""
    screen = Console(file=io.StringIO(), width=100)
    monkeypatch.setattr("power_bert.train.reporting._SECONDS_BETWEEN_LINES", -1.0)
    with (
        Reporter(tmp_path / "log.txt", tmp_path / "board", screen) as reporter,
        reporter.counted("blocks measured", 3) as advance,
    ):
        advance()
        advance()
    assert screen.file.getvalue().splitlines() == ["blocks measured  1/3", "blocks measured  2/3"]  # type: ignore[attr-defined]
