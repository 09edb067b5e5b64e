"""`POST /predict`: requests and answers are those of text-embeddings-inference."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from power_bert_runtime.serving.hosted_models import Example, HostedModels
from power_bert_runtime.serving.request_errors import invalid

router = APIRouter(tags=["predict"])

# A text, a pair, or a list of texts and pairs, each in a list of its own.
_Sequence = Annotated[list[str], Field(min_length=1, max_length=2)]
Inputs = Annotated[
    str | _Sequence | list[_Sequence],
    Field(
        description='A text: "one"; a pair: ["one", "two"]; a list of texts: [["one"], ["two"]]; a list of pairs: '
        '[["one", "two"], ["three", "four"]].',
        examples=["A text to classify", [["one text"], ["another text"]]],
    ),
]

TRUNCATE = Field(
    False, description="Truncate texts of more tokens than the model takes; otherwise they are answered 413."
)


class PredictRequest(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(extra="forbid")

    inputs: Inputs
    model: str | None = Field(None, description="Name of the model; default: the first one of the server.")
    truncate: bool | None = TRUNCATE
    truncation_direction: str = Field("Right", description="Only Right: texts are truncated at their end.")
    raw_scores: bool = Field(False, description="Only false: models end in probabilities.")


class LabelScore(BaseModel):
    """A label and its probability; for a regression the label is "score"."""

    label: str
    score: float


def as_examples(inputs: str | list[str] | list[list[str]]) -> list[Example]:
    """Return the examples of `Inputs`."""
    if isinstance(inputs, str):
        return [inputs]
    sequences = [inputs] if inputs and isinstance(inputs[0], str) else inputs
    return [each[0] if len(each) == 1 else (each[0], each[1]) for each in sequences]


@router.post("/predict", summary="Classify texts")
async def predict(request: Request, body: PredictRequest) -> list[LabelScore] | list[list[LabelScore]]:
    """Return all labels with their probabilities, the most probable first: one list, or one list for each text."""
    _check_supported(body)
    models: HostedModels = request.app.state.models
    hosted = models.get(body.model)
    examples = as_examples(body.inputs)
    request.state.model, request.state.texts = hosted.name, len(examples)
    outputs = await hosted.outputs(examples, bool(body.truncate))
    ranked: list[Any] = [hosted.ranked(each) for each in outputs]
    is_one = isinstance(body.inputs, str) or (bool(body.inputs) and isinstance(body.inputs[0], str))
    return ranked[0] if is_one else ranked


def _check_supported(body: PredictRequest) -> None:
    """Refuse what text-embeddings-inference has and this server has not."""
    if body.truncation_direction.lower() != "right":
        raise invalid(
            f"truncation_direction: {body.truncation_direction[:50]!r}; texts are truncated at their end only: send "
            '"Right", or leave it out'
        )
    if body.raw_scores:
        raise invalid(
            "raw_scores: models end in probabilities, and logits are not available; send false, or leave it out"
        )
