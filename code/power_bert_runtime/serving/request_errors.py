"""Errors that a request is answered with: status code, kind and message."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException


class RequestError(HTTPException):
    """A request that is not answered with predictions.

    The body of the answer is ``{"error": message, "error_type": kind}``, which clients of text-embeddings-inference and
    of the Open Inference Protocol both read.

    Args:
        status: HTTP status code.
        kind: Kind of the error, for programs.
        message: What is wrong and what to do.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        # Half of a surrogate pair, which JSON can escape, cannot be encoded in the answer.
        super().__init__(status, message.encode("utf-8", "replace").decode(), headers)
        self.kind = kind


def invalid(message: str, status: int = 422) -> RequestError:
    """Return the error of a request whose content is wrong."""
    return RequestError(status, "validation", message)


def too_large(message: str) -> RequestError:
    """Return the error of a request that exceeds a limit of size."""
    return RequestError(413, "validation", message)


def not_found(message: str) -> RequestError:
    """Return the error of a request for a model that is not served."""
    return RequestError(404, "not_found", message)


def overloaded(message: str) -> RequestError:
    """Return the error of a request that the queue has no room for."""
    return RequestError(429, "overloaded", message, {"Retry-After": "1"})


def timed_out(message: str) -> RequestError:
    """Return the error of a request that was not answered in time."""
    return RequestError(504, "timeout", message)


def unavailable(message: str) -> RequestError:
    """Return the error of a request for a model whose process has ended."""
    return RequestError(503, "unhealthy", message, {"Retry-After": "5"})
