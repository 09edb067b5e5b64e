"""The web application: routes, errors, and the page."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from power_bert_runtime.serving import compare_route, open_inference, predict_route
from power_bert_runtime.serving.hosted_models import HostedModels, ServableModel
from power_bert_runtime.serving.own_hosts import LOOPBACK, OwnHosts
from power_bert_runtime.serving.page_files import PageFiles
from power_bert_runtime.serving.request_errors import RequestError
from power_bert_runtime.serving.request_guard import RequestGuard, error_answer
from power_bert_runtime.serving.server_metrics import ServerMetrics
from power_bert_runtime.serving.server_settings import ServerSettings


def create_app(models: Mapping[str, ServableModel], settings: ServerSettings, page: Path | None = None) -> FastAPI:
    """Make the application.

    Args:
        models: Name → model; the first one answers requests that name none.
        settings: Limits, batching and token.
        page: Folder of the built page, which is served at `/`; None for none.
    """
    metrics = ServerMetrics()
    page_files = PageFiles(page)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        hosted = app.state.models = HostedModels(models, settings, metrics)
        hosted.start()
        yield
        await hosted.stop()

    # Its documentation page, unlike FastAPI's own, loads nothing from other hosts.
    app = FastAPIOffline(redoc_url=None, title="PoWER-BERT", version=open_inference.own_version(), lifespan=lifespan)
    app.state.settings = settings
    app.include_router(predict_route.router)
    app.include_router(compare_route.router)
    app.include_router(open_inference.router)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_error)

    @app.head("/health", include_in_schema=False)
    @app.get("/health", tags=["server"])
    async def health() -> dict[str, str]:
        """Report that the server runs; `/v2/health/ready` also tells whether all models can compute."""
        return {"status": "ok"}

    @app.get("/models", tags=["server"])
    async def list_models(request: Request) -> list[dict[str, Any]]:
        """Return the models: name, runtime, labels, what they take, size."""
        return [hosted.description() for hosted in request.app.state.models]

    @app.get("/metrics", tags=["server"], response_class=Response)
    async def show_metrics() -> Response:
        """Return metrics in the text format of Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    page_files.add_routes(app)
    if settings.host in LOOPBACK:
        app.add_middleware(OwnHosts)
    app.add_middleware(RequestGuard, settings=settings, metrics=metrics, page_files=page_files.paths)
    return app


async def _answer_error(request: Request, error: Exception) -> Response:
    """Answer errors of this project, and those of the framework, such as an unknown path."""
    if not isinstance(error, RequestError):
        if not isinstance(error, HTTPException):
            raise error
        known = {
            400: "the body is no JSON in UTF-8",
            404: "there is no such operation; /docs lists them",
            405: "this operation has another method; see /docs",
        }
        message = known.get(error.status_code, error.detail)
        error = RequestError(error.status_code, "validation", message, error.headers)
    request.state.error = error.detail
    return error_answer(error)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """Answer a body that is no JSON (400), is not sent as JSON (415) or has another form than expected (422)."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        status, message = 400, f"the body is no JSON: {first.get('ctx', {}).get('error', 'damaged')}"
    elif not request.headers.get("content-type", "").startswith("application/json"):
        status, message = 415, "the body is not sent as JSON; set the header Content-Type: application/json"
    else:
        status, message = 422, _describe(error.errors())
    return await _answer_error(request, RequestError(status, "validation", message))


def _describe(errors: Any) -> str:
    """Describe the errors of a body; of a union, each alternative has one of its own."""
    inputs = [each for each in errors if each["loc"][:2] == ("body", "inputs") and len(each["loc"]) > 2]
    if inputs:
        value = shorten_json(inputs[0]["input"])
        return (
            f'inputs: {value} is no text, pair, list of texts or list of pairs: "one", ["one", "two"], '
            '[["one"], ["two"]] or [["one", "two"], …]'
        )
    place = ".".join(str(part) for part in errors[0]["loc"][1:])
    return f"{place}: {errors[0]['msg']}" if place else errors[0]["msg"]


def shorten_json(value: object) -> str:
    """Return a value as JSON of at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"
