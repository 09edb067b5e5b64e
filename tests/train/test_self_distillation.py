"""What search and re-training learn from the fine-tuned model."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.runs.run_dir import RunDir
from power_bert.text.examples import read_examples
from power_bert.train.self_distillation import RETRAIN_ALPHA, taught_by, with_augmented_texts
from power_bert.train.training import EncodedExamples, RunContext

MakeContext = Callable[..., RunContext[Experiment]]


@pytest.fixture
def tokenizer(make_classifier: Callable[..., Any]) -> Any:
    return plain_tokenizer(make_classifier())


@pytest.fixture
def make_context(make_experiment: Callable[..., Experiment], tokenizer: Any, tmp_path: Path) -> MakeContext:
    """The context of a run on tiny data."""

    def make(task: str, **settings: Any) -> RunContext[Experiment]:
        experiment = make_experiment(tmp_path / "run", task=task, self_distill=True, augment_copies=2, **settings)
        train = read_examples(experiment.task_definition, "train", experiment.data_dir)
        encoded = EncodedExamples.of(train, tokenizer, experiment.max_length)
        reporter: Any = SimpleNamespace(say=print)
        return RunContext(experiment, RunDir(tmp_path / "run"), reporter, train=encoded, dev=encoded)

    return make


@pytest.mark.parametrize("task", ["cola", "mrpc", "sts-b"])
def test_augmented_texts_follow_the_training_examples_and_have_no_label(
    make_context: MakeContext, tokenizer: Any, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    context = make_context(task)
    before, train = context.train.examples, with_augmented_texts(context, tokenizer).train
    known, made = len(before), len(train.examples) - len(before)
    assert known < made <= 2 * known and f"{made} augmented texts" in capsys.readouterr().out
    texts, labels = train.examples, train.examples.labels
    assert texts.first[:known] == before.first and before.labels is not None and labels is not None
    np.testing.assert_array_equal(labels[:known], before.labels)
    assert np.isnan(labels[known:]).all() if task == "sts-b" else (labels[known:] == -1).all()
    assert labels.dtype == before.labels.dtype and len(train.encoded) == len(labels)
    pairs = set(zip(before.first, before.second or before.first, strict=True))
    assert not pairs & set(zip(texts.first[known:], (texts.second or texts.first)[known:], strict=True))


def test_augmented_texts_depend_on_the_seed_alone(make_context: MakeContext, tokenizer: Any) -> None:
    made = [with_augmented_texts(make_context("cola", seed=seed), tokenizer).train.examples.first for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_the_teacher_labels_augmented_texts(
    make_context: MakeContext, make_classifier: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    context = with_augmented_texts(make_context("cola"), tokenizer)
    targets = taught_by(make_classifier(), context, tmp_path / "targets.npy", RETRAIN_ALPHA).targets
    labels = context.train.examples.labels
    assert labels is not None and targets.shape == (len(labels), 1 + 2 + 2 * 8)  # label, logits, [CLS] of two blocks
    np.testing.assert_array_equal(targets[:, 0], labels)
    assert len(np.unique(targets[-10:, 1])) > 5


@pytest.mark.slow
def test_a_run_with_augmented_texts(run_tiny: Callable[..., Any], tmp_path: Path) -> None:
    settings = {"epochs": 2, "search_epochs": 1, "self_distill": True, "augment_copies": 1, "batch_size": 8}
    run = run_tiny(tmp_path / "run", **settings)
    assert "augmented texts, labeled by the fine-tuned model" in run.output
    assert not list(run.folder.glob("*/training_targets.npy")) and (run.folder / "3_retrain" / "DONE").exists()


@pytest.mark.parametrize(("task", "conditional"), [("cola", True), ("sts-b", False)])
def test_a_wrong_class_is_not_learned_from_the_teacher(
    make_context: MakeContext, tmp_path: Path, task: str, conditional: bool
) -> None:
    """A predicted score is never simply wrong."""
    context, path = make_context(task), tmp_path / "targets.npy"
    np.save(path, np.stack([np.asarray(context.train.examples.labels, np.float32)] * 19, axis=1))
    assert taught_by(pytest.fail, context, path, RETRAIN_ALPHA).objective.conditional == conditional  # type: ignore[arg-type]


def test_targets_of_other_examples_are_refused(make_context: MakeContext, tmp_path: Path) -> None:
    path = tmp_path / "targets.npy"
    context = make_context("cola")
    labels = np.asarray(context.train.examples.labels, np.float32)
    for stored in (labels[1:], 1 - labels):
        np.save(path, np.stack([stored] * 19, axis=1))
        with pytest.raises(UserError, match=r"targets.npy.*of other examples: \d+ rows for \d+.*Delete it"):
            taught_by(pytest.fail, context, path, RETRAIN_ALPHA)  # type: ignore[arg-type]
    np.save(path, np.stack([labels] * 19, axis=1))
    assert taught_by(pytest.fail, context, path, RETRAIN_ALPHA).targets.shape == (len(labels), 19)  # type: ignore[arg-type]
