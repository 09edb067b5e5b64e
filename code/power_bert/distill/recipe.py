"""Build the objective of a distilled run from its settings."""

from __future__ import annotations

from power_bert.config.distillation import Distillation
from power_bert.config.values import LayerMap
from power_bert.errors import UserError
from power_bert.model.students.bert import spread_blocks
from power_bert.objectives.objective import InnerObjective, Objective


def make_objective(settings: Distillation, inner: InnerObjective | None) -> Objective:
    """Build the objective that the settings describe.

    Args:
        settings: Settings of the run.
        inner: Result of `make_inner_objective`; None if only outputs are compared.
    """
    return Objective(
        num_outputs=settings.task_definition.num_outputs,
        num_teachers=len(settings.teachers),
        alpha=settings.alpha,
        temperature=settings.temperature,
        loss=settings.loss,
        weighting=settings.weighting,
        given_weights=settings.teacher_weights or (),
        inner=inner,
    )


def make_inner_objective(settings: Distillation, student_blocks: int, teacher_blocks: int) -> InnerObjective:
    """Build the part of the objective that compares hidden states and attention.

    Args:
        settings: Settings of the run, with a weight above 0 for hidden states or attention.
        student_blocks: Blocks of the student.
        teacher_blocks: Blocks of the first teacher.

    Raises:
        UserError: The layer map does not fit student and teacher.
    """
    objective = InnerObjective(
        hidden=settings.hidden_weight,
        cosine=settings.cosine_weight,
        attention=settings.attention_weight,
        attention_loss=settings.attention_loss,
        layer_map=_fitting_map(settings.layer_map, student_blocks, teacher_blocks),
    )
    if objective.attention.largest > 0 and not objective.attention_pairs:
        raise UserError(
            f"--attention-weight with --layer-map {settings.layer_map}: no pair of two blocks, and embeddings (0) have "
            "no attention; name such a pair, as in 1:3, or leave --attention-weight out"
        )
    return objective


def _fitting_map(given: LayerMap | None, student_blocks: int, teacher_blocks: int) -> LayerMap:
    """Return the given map, or the default: embeddings, and the student's blocks spread over the teacher's."""
    if given is None:
        spread = spread_blocks(student_blocks, teacher_blocks)
        return LayerMap([(0, 0), *enumerate(spread, start=1)])
    for own, other in given:
        if own > student_blocks or other > teacher_blocks:
            raise UserError(
                f"--layer-map {given}: '{own}:{other}' is not a pair of a student's block (0 to {student_blocks}, 0 "
                f"for the embeddings) and a teacher's block (0 to {teacher_blocks}), as in 1:3,2:6"
            )
    return given
