"""Metrics of the server, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_EXAMPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServerMetrics:
    """Counters and histograms of one server; a registry of its own lets several servers live in one process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(
            "power_bert_requests", "Answered requests.", ["method", "path", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "power_bert_request_seconds", "Time of a request.", ["path"], buckets=_SECONDS, registry=registry
        )
        self._examples = Counter("power_bert_examples", "Computed examples.", ["model"], registry=registry)
        self._tokens = Counter("power_bert_tokens", "Computed tokens, without padding.", ["model"], registry=registry)
        self._batch_examples = Histogram(
            "power_bert_batch_examples", "Examples of a batch.", ["model"], buckets=_EXAMPLES, registry=registry
        )
        self._batch_seconds = Histogram(
            "power_bert_batch_seconds", "Time of a batch, with waiting for other models.", ["model"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._queue = Gauge("power_bert_queue_examples", "Examples that wait.", ["model"], registry=registry)

    def add_model(self, name: str, queue_length: Callable[[], float]) -> None:
        """Report the length of a model's queue."""
        self._queue.labels(name).set_function(queue_length)

    def count_request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(method, path, status).inc()
        self._request_seconds.labels(path).observe(seconds)

    def count_batch(self, model: str, examples: int, tokens: int, seconds: float) -> None:
        """Count a computed batch."""
        self._examples.labels(model).inc(examples)
        self._tokens.labels(model).inc(tokens)
        self._batch_examples.labels(model).observe(examples)
        self._batch_seconds.labels(model).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
