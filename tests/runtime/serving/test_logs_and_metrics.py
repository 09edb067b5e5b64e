"""Logs in JSON and metrics in the format of Prometheus, without a server."""

import json
import logging
import sys
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from power_bert_runtime.serving.server_metrics import ServerMetrics
from power_bert_runtime.serving.server_process import JsonFormatter


def record(message: str = "it %s", *arguments: object, **changes: Any) -> logging.LogRecord:
    made = logging.LogRecord("power_bert_runtime.server", logging.WARNING, "file.py", 1, message, arguments, None)
    made.__dict__.update(changes)
    return made


def test_a_record_is_one_line_of_json() -> None:
    line = JsonFormatter().format(record("it %s", "is\na café", created=1_700_000_000.25, msecs=250.0))
    assert "\n" not in line and "café" in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "power_bert_runtime.server",
        "message": "it is\na café",
    }


def test_fields_follow_the_message() -> None:
    entry = json.loads(JsonFormatter().format(record("request", fields={"status": 200, "ms": 1.5})))
    assert list(entry) == ["time", "level", "logger", "message", "status", "ms"]
    assert (entry["status"], entry["ms"]) == (200, 1.5)


def test_tracebacks_stay_on_the_line() -> None:
    try:
        raise ZeroDivisionError("boom")
    except ZeroDivisionError:
        line = JsonFormatter().format(record("failed", exc_info=sys.exc_info()))
    assert "\n" not in line
    text = json.loads(line)["traceback"]
    assert text.startswith("Traceback") and text.endswith("ZeroDivisionError: boom")


@pytest.fixture
def metrics() -> ServerMetrics:
    return ServerMetrics()


def samples(metrics: ServerMetrics) -> dict[tuple[str, ...], float]:
    """Name and sorted values of the labels → value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_method_path_and_status(metrics: ServerMetrics) -> None:
    for status, seconds in ((200, 0.002), (200, 0.2), (413, 60.0)):
        metrics.count_request("POST", "/predict", status, seconds)
    found = samples(metrics)
    assert found["power_bert_requests_total", "POST", "/predict", "200"] == 2
    assert found["power_bert_requests_total", "POST", "/predict", "413"] == 1
    assert found["power_bert_request_seconds_count", "/predict"] == 3
    assert found["power_bert_request_seconds_sum", "/predict"] == pytest.approx(60.202)
    for bound, count in (("0.001", 0), ("0.0025", 1), ("0.25", 2), ("30.0", 2), ("+Inf", 3)):
        assert found["power_bert_request_seconds_bucket", bound, "/predict"] == count


def test_batches_are_counted_by_model(metrics: ServerMetrics) -> None:
    metrics.count_batch("a", examples=3, tokens=20, seconds=0.5)
    metrics.count_batch("a", examples=1, tokens=4, seconds=0.25)
    metrics.count_batch("b", examples=300, tokens=900, seconds=1.0)
    found = samples(metrics)
    assert found["power_bert_examples_total", "a"] == 4 and found["power_bert_tokens_total", "a"] == 24
    assert found["power_bert_batch_examples_bucket", "2.0", "a"] == 1
    assert found["power_bert_batch_examples_bucket", "4.0", "a"] == 2
    assert found["power_bert_batch_examples_bucket", "256.0", "b"] == 0
    assert found["power_bert_batch_examples_bucket", "+Inf", "b"] == 1
    assert found["power_bert_batch_seconds_sum", "a"] == 0.75


def test_the_queue_is_asked_when_the_metrics_are(metrics: ServerMetrics) -> None:
    queue: list[int] = []
    metrics.add_model("it", queue.__len__)
    assert samples(metrics)["power_bert_queue_examples", "it"] == 0
    queue += [1, 2, 3]
    assert samples(metrics)["power_bert_queue_examples", "it"] == 3


def test_servers_in_one_process_count_apart(metrics: ServerMetrics) -> None:
    other = ServerMetrics()
    other.count_request("GET", "/health", 200, 0.1)
    assert ("power_bert_requests_total", "GET", "/health", "200") in samples(other)
    assert ("power_bert_requests_total", "GET", "/health", "200") not in samples(metrics)


def test_labels_with_any_characters_stay_readable(metrics: ServerMetrics) -> None:
    metrics.count_request("POST", '/a"b\\c\nd', 404, 0.1)
    assert samples(metrics)["power_bert_requests_total", "POST", '/a"b\\c\nd', "404"] == 1
