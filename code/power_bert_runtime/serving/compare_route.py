"""`POST /compare`: the same texts through several models."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from power_bert_runtime.serving.hosted_models import HostedModels
from power_bert_runtime.serving.model_comparison import (
    check_comparable,
    comparison,
    comparison_csv,
    measure_models,
)
from power_bert_runtime.serving.predict_route import TRUNCATE, Inputs, as_examples
from power_bert_runtime.serving.request_errors import invalid, overloaded, timed_out
from power_bert_runtime.serving.server_settings import ServerSettings

router = APIRouter(tags=["compare"])


class CompareRequest(BaseModel):
    """Texts and the models that classify them."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    inputs: Inputs
    models: list[str] | None = Field(None, min_length=1, description="Models to compare; default: all of the server.")
    teacher: str | None = Field(None, description="Model that the others are compared with; default: the first one.")
    repetitions: int = Field(
        5, ge=1, le=50, description="Timed runs of each text and model, of which the median counts."
    )
    truncate: bool | None = TRUNCATE


_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {}}, "description": "A comparison; as CSV with `Accept: text/csv`."}
}


@router.post("/compare", summary="Compare models", responses=_CSV)
async def compare(
    request: Request, body: CompareRequest, accept: Annotated[str, Header()] = "application/json"
) -> dict[str, Any]:
    """Return label, probabilities and latency of each text and model, and agreement, distance and speed-up.

    Each model is compared with the teacher: agreement of the labels, cosine and total variation of the probabilities.
    Times are medians in milliseconds, of one text at a time, the models in turns.
    """
    models: HostedModels = request.app.state.models
    settings: ServerSettings = request.app.state.settings
    contestants = [models.get(name) for name in dict.fromkeys(body.models or [each.name for each in models])]
    teacher = models.get(body.teacher) if body.teacher else contestants[0]
    if teacher not in contestants:
        raise invalid(f'the teacher {teacher.name} is not among the models of the comparison; add it to "models"')
    check_comparable(contestants)
    examples = as_examples(body.inputs)
    request.state.texts = len(examples)
    for hosted in contestants:
        hosted.check(examples)
    if models.comparing.locked():
        raise overloaded("another comparison is being measured; send the request again later")
    try:
        async with models.comparing, asyncio.timeout(settings.compare_timeout_s):
            measured = await measure_models(contestants, examples, body.repetitions, bool(body.truncate))
    except TimeoutError:
        raise timed_out(
            f"not measured within {settings.compare_timeout_s:g} s; send fewer texts, models or repetitions"
        ) from None
    answer = comparison(measured, measured[contestants.index(teacher)], examples)
    if "text/csv" in accept:
        headers = {"Content-Disposition": 'attachment; filename="comparison.csv"'}
        return Response(comparison_csv(answer), headers=headers, media_type="text/csv")  # type: ignore[return-value]
    return answer
