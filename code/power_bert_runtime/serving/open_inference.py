"""Open Inference Protocol V2: health, metadata and inference, with tensors in JSON or in binary form."""

from __future__ import annotations

import contextlib
import json
import struct
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from power_bert_runtime.serving.hosted_models import Example, HostedModel, HostedModels
from power_bert_runtime.serving.request_errors import invalid, not_found, unavailable

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
MODEL_VERSION = "1"
# Header of Triton's extension "binary_tensor_data": number of bytes of the JSON, after which the tensors follow.
_JSON_LENGTH = "Inference-Header-Content-Length"


class Tensor(BaseModel):
    """An input."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class RequestedOutput(BaseModel):
    """An output that the client asks for."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferRequest(BaseModel):
    """Inputs `text` and, for models that take pairs, `text_pair`: BYTES, one string for each example."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["A text"]}]}
        }
    )

    id: str | None = None
    inputs: list[Tensor]
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


_INFER_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": InferRequest.model_json_schema()}},
    }
}


def own_version() -> str:
    """Return the version of the installed package; "0" in a checkout."""
    for package in ("power-bert-runtime", "power-bert"):
        with contextlib.suppress(PackageNotFoundError):
            return version(package)
    return "0"


@router.get("")
async def server_metadata() -> dict[str, Any]:
    """Return name, version and extensions of the server."""
    return {"name": "power-bert", "version": own_version(), "extensions": ["binary_tensor_data"]}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Report that the server runs."""
    return {"live": True}


@router.get("/health/ready")
async def ready(request: Request) -> dict[str, bool]:
    """Report that all models can compute; otherwise the answer is 503."""
    models: HostedModels = request.app.state.models
    _check_ready(*models)
    return {"ready": True}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{model_version}")
async def model_metadata(request: Request, name: str, model_version: str = MODEL_VERSION) -> dict[str, Any]:
    """Return inputs and outputs of a model."""
    hosted = _model(request, name, model_version)
    inputs = ["text", "text_pair"] if hosted.model.takes_pairs else ["text"]
    return {
        "name": hosted.name,
        "versions": [MODEL_VERSION],
        "platform": hosted.model.runtime,
        "inputs": [{"name": each, "datatype": "BYTES", "shape": [-1]} for each in inputs],
        "outputs": [
            {"name": each, "datatype": kind, "shape": [-1, *shape]} for each, kind, shape in _output_forms(hosted)
        ],
    }


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{model_version}/ready")
async def model_ready(request: Request, name: str, model_version: str = MODEL_VERSION) -> dict[str, Any]:
    """Report that a model can compute; otherwise the answer is 503."""
    hosted = _model(request, name, model_version)
    _check_ready(hosted)
    return {"name": hosted.name, "ready": True}


@router.post("/models/{name}/infer", openapi_extra=_INFER_BODY)
@router.post("/models/{name}/versions/{model_version}/infer", openapi_extra=_INFER_BODY)
async def infer(
    request: Request,
    name: str,
    model_version: str = MODEL_VERSION,
    json_length: Annotated[str | None, Header(alias=_JSON_LENGTH)] = None,
) -> Response:
    """Classify texts."""
    hosted = _model(request, name, model_version)
    asked, binary = _parse(await request.body(), json_length)
    examples = _examples(asked, binary, hosted)
    request.state.texts = len(examples)
    wanted = _wanted_outputs(asked, hosted)
    probabilities = await hosted.outputs(examples, asked.parameters.get("truncate") is True)
    labels = np.array([hosted.labels[index] for index in probabilities.argmax(axis=1)], object)
    values = {"probabilities": probabilities, "score": probabilities[:, 0], "label": labels}
    return _answer(hosted, asked.id, [(name, values[name], is_binary) for name, is_binary in wanted])


def _model(request: Request, name: str, model_version: str) -> HostedModel:
    if model_version != MODEL_VERSION:
        raise not_found(f"{name} has no version {model_version[:100]!r}; there is {MODEL_VERSION}")
    models: HostedModels = request.app.state.models
    request.state.model = models.get(name).name
    return models.get(name)


def _check_ready(*models: HostedModel) -> None:
    if lost := [hosted.name for hosted in models if not hosted.is_ready]:
        raise unavailable(f"not ready: {', '.join(lost)}, whose process has ended and is started again")


def _output_forms(hosted: HostedModel) -> list[tuple[str, str, list[int]]]:
    """Return name, datatype and shape of an example's output."""
    if hosted.model.is_regression:
        return [("score", "FP32", [])]
    return [("probabilities", "FP32", [len(hosted.labels)]), ("label", "BYTES", [])]


def _parse(body: bytes, json_length: str | None) -> tuple[InferRequest, bytes]:
    """Split a body into its JSON and the tensors in binary form."""
    end = len(body)
    if json_length is not None:
        # Python refuses to convert a number of thousands of digits.
        if not json_length.isdecimal() or len(json_length) > 18 or int(json_length) > end:
            raise invalid(f"{_JSON_LENGTH}: {json_length[:100]!r}; expected a number of bytes up to {end}", 400)
        end = int(json_length)
    try:
        return InferRequest.model_validate_json(body[:end]), body[end:]
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise invalid(f"{place + ': ' if place else ''}{first['msg']}", 400) from None


def _examples(asked: InferRequest, binary: bytes, hosted: HostedModel) -> list[Example]:
    expected = ["text", "text_pair"] if hosted.model.takes_pairs else ["text"]
    if [tensor.name for tensor in asked.inputs] not in (expected, expected[::-1]):
        found = ", ".join(tensor.name[:50] for tensor in asked.inputs[:10]) or "none"
        raise invalid(f"inputs: {found}; {hosted.name} takes {' and '.join(expected)}", 400)
    texts: dict[str, list[str]] = {}
    for tensor in asked.inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            strings = tensor.data
        elif isinstance(size, int) and 0 <= size <= len(binary):
            strings, binary = _read_strings(binary[:size], tensor.name), binary[size:]
        else:
            raise invalid(f"{tensor.name}: binary_data_size {str(size)[:50]} is not what follows the JSON", 400)
        if tensor.datatype != "BYTES" or strings is None or not all(isinstance(text, str) for text in strings):
            raise invalid(f"{tensor.name}: expected datatype BYTES and strings in `data`", 400)
        if tensor.shape not in ([len(strings)], [len(strings), 1], [1, len(strings)]):
            raise invalid(f"{tensor.name}: shape {tensor.shape} does not fit {len(strings)} strings", 400)
        texts[tensor.name] = strings
    if not hosted.model.takes_pairs:
        return list(texts["text"])
    if len(texts["text"]) != len(texts["text_pair"]):
        raise invalid(f"{len(texts['text'])} text but {len(texts['text_pair'])} text_pair", 400)
    return list(zip(texts["text"], texts["text_pair"], strict=True))


def _read_strings(content: bytes, name: str) -> list[str]:
    """Read strings of which each follows its length, a little-endian uint32."""
    strings, position = [], 0
    try:
        while position < len(content):
            (length,) = struct.unpack_from("<I", content, position)
            end = position + 4 + length
            if end > len(content):
                raise ValueError("it ends too early")
            strings.append(content[position + 4 : end].decode())
            position = end
    except (struct.error, ValueError) as error:  # a UnicodeDecodeError is a ValueError
        raise invalid(f"{name}: the binary data are no strings ({error})", 400) from None
    return strings


def _wanted_outputs(asked: InferRequest, hosted: HostedModel) -> list[tuple[str, bool]]:
    """Return name and whether it is sent in binary form, of each output that the client asks for."""
    names = [name for name, _, _ in _output_forms(hosted)]
    default = bool(asked.parameters.get("binary_data_output", False))
    if not asked.outputs:
        return [(name, default) for name in names]
    if unknown := [output.name[:50] for output in asked.outputs if output.name not in names]:
        raise invalid(f"outputs: {hosted.name} has no {unknown[0]!r}; it has {', '.join(names)}", 400)
    return [(output.name, bool(output.parameters.get("binary_data", default))) for output in asked.outputs]


def _answer(hosted: HostedModel, request_id: str | None, outputs: list[tuple[str, np.ndarray, bool]]) -> Response:
    described, binary = [], b""
    for name, values, is_binary in outputs:
        tensor: dict[str, Any] = {"name": name, "shape": list(values.shape)}
        tensor["datatype"] = "BYTES" if values.dtype == object else "FP32"
        if is_binary:
            content = _to_bytes(values)
            tensor["parameters"] = {"binary_data_size": len(content)}
            binary += content
        else:
            tensor["data"] = values.ravel().tolist()
        described.append(tensor)
    answer = {"model_name": hosted.name, "model_version": MODEL_VERSION, "outputs": described}
    if request_id is not None:
        answer["id"] = request_id
    content = json.dumps(answer, ensure_ascii=False).encode()
    if not any(is_binary for _, _, is_binary in outputs):
        return Response(content, media_type="application/json")
    return Response(content + binary, 200, {_JSON_LENGTH: str(len(content))}, "application/octet-stream")


def _to_bytes(values: np.ndarray) -> bytes:
    if values.dtype != object:
        return values.astype("<f4").tobytes()
    encoded = [text.encode() for text in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
