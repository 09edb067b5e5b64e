"""The student inside its trainer: losses, gradients, what is saved."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from power_bert.config.values import Schedule
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_states import encoder_states
from power_bert.objectives.distiller import Distiller
from power_bert.objectives.objective import InnerObjective, Objective, output_loss, pack_targets

SIZES = {"vocabulary_size": 31, "num_layers": 2, "num_heads": 3, "hidden_dim": 12, "intermediate_dim": 17}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}
LOGITS = np.random.default_rng(0).normal(0, 2, (3, 3))
TARGETS = pack_targets(np.array([0.0, -1.0, 2.0]), [LOGITS])


def constant(value: float) -> Schedule:
    return Schedule("constant", value, value)


def inputs() -> dict[str, np.ndarray]:
    mask = (np.arange(7) < np.array([[7], [4], [6]])).astype("int32")
    ids = np.random.default_rng(0).integers(1, 31, mask.shape).astype("int32") * mask
    return {"token_ids": ids, "segment_ids": 0 * mask, "padding_mask": mask}


def classifier(**changes: Any) -> PowerBertTextClassifier:
    return PowerBertTextClassifier(PowerBertBackbone(**{**SIZES, **NO_DROPOUT, **changes}), 3, dropout=0.0)


def objective(inner: InnerObjective | None = None) -> Objective:
    return Objective(3, 1, constant(0.5), constant(2.0), "kl", inner=inner)


def inner(layer_map: tuple[tuple[int, int], ...] = ((0, 0), (1, 2), (2, 3)), **weights: float) -> InnerObjective:
    parts = {name: constant(weights.get(name, 0.0)) for name in ("hidden", "cosine", "attention")}
    return InnerObjective(**parts, attention_loss="kl", layer_map=layer_map)


def compiled(student: PowerBertTextClassifier, chosen: Objective, teacher: Any = None) -> Distiller:
    distiller = Distiller(student, chosen, 10, teacher)
    distiller.compile(keras.optimizers.SGD(0.05), run_eagerly=True)
    return distiller


def test_inner_states_are_those_of_the_model() -> None:
    backbone = PowerBertBackbone(**SIZES)
    states, outputs = encoder_states(backbone, inputs()), backbone(inputs())
    np.testing.assert_allclose(states.hidden[-1], outputs["sequence_output"], atol=1e-6)
    np.testing.assert_allclose(states.pooled, outputs["pooled_output"], atol=1e-6)
    assert len(states.hidden) == 3 and len(states.attention) == 2
    np.testing.assert_allclose(np.asarray(states.attention[0]).sum(-1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="eliminates tokens"):
        encoder_states(PowerBertBackbone(**SIZES, extraction="hard", retention=(4, 1)), inputs())


def test_the_loss_is_the_objectives() -> None:
    student = classifier()
    expected = np.mean(output_loss(objective(), np.asarray(student(inputs())), TARGETS, 0.0))
    assert compiled(student, objective()).train_on_batch(inputs(), TARGETS) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("weights", [{"hidden": 1.0}, {"cosine": 1.0}, {"attention": 1.0}])
def test_inner_losses_reach_the_student_and_fall(weights: dict[str, float]) -> None:
    keras.utils.set_random_seed(1)
    teacher, student = PowerBertBackbone(**{**SIZES, "num_layers": 3, "hidden_dim": 18}), classifier()
    distiller = compiled(student, objective(inner(**weights)), teacher)
    projections = 0 if "attention" in weights else 3
    assert [layer.kernel.shape for layer in distiller.projections] == [(12, 18)] * projections
    before = [np.array(weight) for weight in teacher.weights]
    query = np.array(student.backbone.blocks[0].attention.query.kernel)
    losses = [float(distiller.train_on_batch(inputs(), TARGETS)) for _ in range(8)]
    assert losses[-1] < losses[0]
    assert np.abs(query - np.asarray(student.backbone.blocks[0].attention.query.kernel)).max() > 0
    for weight, value in zip(teacher.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_equal_inner_states_add_nothing() -> None:
    student = classifier()
    same = inner(((0, 0), (1, 1), (2, 2)), hidden=1.0, cosine=1.0, attention=1.0)
    distiller = compiled(student, objective(same), student.backbone)
    plain = np.mean(output_loss(objective(), np.asarray(student(inputs())), TARGETS, 0.0))
    assert distiller.projections == []
    assert float(distiller.train_on_batch(inputs(), TARGETS)) == pytest.approx(float(plain), rel=1e-4)


def test_each_term_is_averaged_over_the_pairs_that_have_it() -> None:
    """The embeddings, 0, have no attention: with them in the layer map the loss of the attention stays what it is."""
    student, teacher = classifier(), PowerBertBackbone(**{**SIZES, "num_layers": 3})
    plain = float(np.mean(output_loss(objective(), np.asarray(student(inputs())), TARGETS, 0.0)))
    maps = (((1, 2),), ((0, 0), (1, 2)), ((1, 2), (2, 0)))
    losses = []
    for layer_map in maps:
        distiller = compiled(student, objective(inner(layer_map, attention=1.0)), teacher)
        losses.append(float(distiller.test_on_batch(inputs(), TARGETS)) - plain)
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-3)


def test_schedules_begin_and_end_with_the_training() -> None:
    student = classifier()
    distiller = Distiller(student, Objective(3, 1, Schedule("linear", 0.0, 1.0), constant(1.0), "kl"), 3)
    distiller.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    losses = []
    for _ in range(3):
        distiller.reset_metrics()
        losses.append(float(distiller.train_on_batch(inputs(), TARGETS)))
    logits = np.asarray(student(inputs()))
    for alpha, loss in zip((0.0, 0.5, 1.0), losses, strict=True):
        expected = np.mean(output_loss(Objective(3, 1, constant(alpha), constant(1.0), "kl"), logits, TARGETS, 0.0))
        assert loss == pytest.approx(float(expected), rel=1e-5)


def test_saved_and_used_as_the_student(tmp_path: Path) -> None:
    teacher, student = PowerBertBackbone(**{**SIZES, "num_layers": 3}), classifier()
    distiller = compiled(student, objective(inner(hidden=1.0)), teacher)
    np.testing.assert_array_equal(distiller(inputs(), training=False), student(inputs()))
    paths = {id(weight) for weight in teacher.weights}
    assert not paths & {id(weight) for weight in distiller.variables}
    distiller.save_to_preset(str(tmp_path))
    np.testing.assert_allclose(
        PowerBertTextClassifier.from_preset(str(tmp_path))(inputs()), student(inputs()), atol=1e-6
    )


def test_the_regularizer_of_thresholds_is_part_of_the_loss() -> None:
    student = classifier(extraction="soft", retention_parameters=7, retention_profile="threshold")
    losses = []
    for strength in (0.0, 0.5):
        student.backbone.search.set_regularization(strength, tokens_per_example=7.0)
        losses.append(float(compiled(student, objective()).train_on_batch(inputs(), TARGETS)))
    # All tokens are kept at first; the last block, which keeps [CLS] alone, is not regularized.
    assert losses[1] - losses[0] == pytest.approx(0.5 * 7, abs=0.2)
