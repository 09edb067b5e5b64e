"""From the settings of a distilled run to its objective."""

from __future__ import annotations

from power_bert.distill.objective import InnerObjective, Objective
from power_bert.distill.schedules import Schedule, parse_schedule
from power_bert.distill_config import Distillation
from power_bert.errors import UserError
from power_bert.model.students.bert import spread_blocks

LayerMap = tuple[tuple[int, int], ...]


def read_objective(settings: Distillation, inner: InnerObjective | None) -> Objective:
    """The objective of the settings.

    Args:
        settings: of the run.
        inner: of `read_inner_objective`.

    Raises:
        UserError: a weight or a temperature that makes no sense.
    """
    if settings.weighting == "confidence" and settings.task_definition.is_regression:
        raise UserError(
            "--weighting confidence: a score says nothing about how sure its teacher is; give equal, given or loss"
        )
    given = tuple(float(part) for part in (settings.teacher_weights or "").split(",") if part)
    return Objective(
        num_outputs=settings.task_definition.num_outputs,
        num_teachers=len(settings.teachers),
        alpha=_schedule("--alpha", settings.alpha, 0.0, 1.0, "a weight from 0 to 1"),
        temperature=_temperature(settings.temperature),
        loss=settings.loss,
        weighting=settings.weighting,
        given_weights=given,
        inner=inner,
    )


def read_inner_objective(settings: Distillation, student_blocks: int, teacher_blocks: int) -> InnerObjective | None:
    """What compares inner states; None where the settings give that no weight.

    Args:
        settings: of the run.
        student_blocks: of the student.
        teacher_blocks: of the first teacher.

    Raises:
        UserError: a negative weight, or a layer map that does not fit the two.
    """
    if not compares_inner_states(settings):
        return None
    weights = _inner_schedules(settings)
    layer_map = _layer_map(settings.layer_map, student_blocks, teacher_blocks)
    objective = InnerObjective(**weights, attention_loss=settings.attention_loss, layer_map=layer_map)
    if objective.attention.largest > 0 and not objective.attention_pairs:
        raise UserError(
            f"--attention-weight with --layer-map {settings.layer_map}: no pair of two blocks, and embeddings (0) have "
            "no attention; name such a pair, as in 1:3, or leave --attention-weight out"
        )
    return objective


def inner_weights(settings: Distillation) -> dict[str, str]:
    """What can be compared inside → its weight."""
    return {
        "hidden": settings.hidden_weight,
        "cosine": settings.cosine_weight,
        "attention": settings.attention_weight,
    }


def compares_inner_states(settings: Distillation) -> bool:
    """Whether a weight of `inner_weights` is ever above zero.

    Raises:
        UserError: one is negative, or there is a layer map for nothing.
    """
    compares = any(weight.largest > 0 for weight in _inner_schedules(settings).values())
    if settings.layer_map is not None and not compares:
        raise UserError(
            f"--layer-map {settings.layer_map}: nothing is compared by it; give --hidden-weight, --cosine-weight or "
            "--attention-weight, too"
        )
    return compares


def _inner_schedules(settings: Distillation) -> dict[str, Schedule]:
    return {
        name: _schedule(f"--{name}-weight", text, 0.0, float("inf"), "a weight from 0")
        for name, text in inner_weights(settings).items()
    }


def _temperature(text: str) -> Schedule:
    schedule = parse_schedule("--temperature", text)
    if schedule.smallest <= 0:
        raise UserError(f"--temperature {text}: expected a number above 0, usual 1 to 10, or as in linear:4:1")
    return schedule


def _schedule(name: str, text: str, lowest: float, highest: float, expected: str) -> Schedule:
    schedule = parse_schedule(name, text)
    if schedule.smallest < lowest or schedule.largest > highest:
        raise UserError(f"{name} {text}: expected {expected}, or how it changes, as in linear:0.5:0.1")
    return schedule


def _layer_map(text: str | None, student_blocks: int, teacher_blocks: int) -> LayerMap:
    """The pairs of "1:3,2:6"; without a text the embeddings, and the student's blocks spread over the teacher's."""
    if text is None:
        spread = spread_blocks(student_blocks, teacher_blocks)
        return ((0, 0), *((own, other) for own, other in enumerate(spread, start=1)))
    pairs = []
    for part in text.split(","):
        own, _, other = part.strip().partition(":")
        if not (own.isdecimal() and other.isdecimal() and int(own) <= student_blocks and int(other) <= teacher_blocks):
            raise UserError(
                f"--layer-map {text}: {part.strip()!r} is no pair of a block of the student (0 to {student_blocks}, 0 "
                f"for the embeddings) and one of the teacher (0 to {teacher_blocks}), as in 1:3,2:6"
            )
        pairs.append((int(own), int(other)))
    return tuple(pairs)
