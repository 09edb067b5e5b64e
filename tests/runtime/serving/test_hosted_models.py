"""Models of the server: their names, the checks of a request, limits at their edges, the end."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.waiting import until
from power_bert_runtime.serving import hosted_models
from power_bert_runtime.serving.hosted_models import (
    HostedModel,
    HostedModels,
    ProcessLost,
    check_finite,
    load_models,
    lost_processes_reported,
)
from power_bert_runtime.serving.request_errors import (
    RequestError,
    invalid,
    not_found,
    overloaded,
    timed_out,
    too_large,
    unavailable,
)
from power_bert_runtime.serving.server_metrics import ServerMetrics
from power_bert_runtime.serving.server_settings import ServerSettings


@pytest.fixture
def host() -> Callable[..., HostedModel]:
    """Hosts one model under the name "it", without a thread that computes."""

    def make(model: Any, **settings: Any) -> HostedModel:
        return HostedModels({"it": model}, ServerSettings(**settings), ServerMetrics()).get("it")

    return make


def refusal(use: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(RequestError) as raised:
        use()
    return raised.value.status_code, raised.value.detail


def test_limits_hold_at_their_edges(host: Callable[..., HostedModel], word_counter: Any) -> None:
    hosted = host(word_counter(), max_texts=2, max_characters=5)
    hosted.check(["12345", ""])
    hosted.check(["ÄÖÜ中\U0001f600"])  # characters, not bytes
    assert refusal(lambda: hosted.check([])) == (422, "no texts; send at least one")
    assert refusal(lambda: hosted.check(["a"] * 3))[0] == 413
    assert refusal(lambda: hosted.check(["a", "123456"])) == (
        413,
        "text 2 has 6 characters; 5 are allowed. Shorten it",
    )


def test_both_texts_of_a_pair_are_limited(host: Callable[..., HostedModel], word_counter: Any) -> None:
    hosted = host(word_counter(takes_pairs=True), max_characters=5)
    hosted.check([("12345", "12345")])
    for pair in (("123456", ""), ("", "123456")):
        assert refusal(lambda pair=pair: hosted.check([pair]))[0] == 413
    for pair in (("\ud83d", "a"), ("a", "\udc00")):
        assert "text 1 is no Unicode" in refusal(lambda pair=pair: hosted.check([pair]))[1]


@pytest.mark.parametrize(
    ("takes_pairs", "examples", "message"),
    [
        (False, ["a", ("a", "b")], "text 2 is a pair, and it classifies single texts. A list of texts is"),
        (True, [("a", "b"), "a"], "text 2 is a single text, and it classifies pairs of texts. A list of texts is"),
    ],
)
def test_every_example_must_have_the_form_that_the_model_takes(
    host: Callable[..., HostedModel], word_counter: Any, takes_pairs: bool, examples: Any, message: str
) -> None:
    status, detail = refusal(lambda: host(word_counter(takes_pairs=takes_pairs)).check(examples))
    assert status == 422 and message in detail


def test_long_texts_are_named_by_their_number_in_the_request(
    host: Callable[..., HostedModel], word_counter: Any
) -> None:
    hosted = host(word_counter(max_length=3))
    assert hosted.encode(["a b c"], truncate=False).lengths.tolist() == [3]
    expected = 'has 4 tokens; it takes 3. Shorten it, or send "truncate": true'
    assert refusal(lambda: hosted.encode(["a", "a b c d"], False)) == (413, f"text 2 {expected}")
    assert refusal(lambda: hosted.encode(["a b c d"], False, first_number=7)) == (413, f"text 7 {expected}")
    assert hosted.encode(["a", "a b c d"], truncate=True).lengths.tolist() == [1, 3]


def test_labels_are_ranked_by_their_scores_and_equal_ones_keep_their_order(
    host: Callable[..., HostedModel], word_counter: Any
) -> None:
    hosted = host(word_counter(labels=("a", "b", "c")))
    assert [each["label"] for each in hosted.ranked(np.array([0.2, 0.5, 0.3]))] == ["b", "c", "a"]
    assert hosted.ranked(np.array([0.25, 0.5, 0.25], np.float32)) == [
        {"score": 0.5, "label": "b"},
        {"score": 0.25, "label": "a"},
        {"score": 0.25, "label": "c"},
    ]
    assert host(word_counter(labels=())).ranked(np.array([-1.5])) == [{"score": -1.5, "label": "score"}]


def test_descriptions_say_what_the_file_says(host: Callable[..., HostedModel], word_counter: Any) -> None:
    model = word_counter(takes_pairs=True)
    assert host(model).description() == {
        **{"name": "it", "runtime": "counting", "task": "counting", "quantization": None},
        **{"labels": ["short", "long"], "is_regression": False, "takes_pairs": True},
        **{"max_length": 10, "size_bytes": 1000},
    }
    scores = host(word_counter(labels=())).description()
    assert scores["labels"] == [] and scores["is_regression"] is True


def test_models_by_name(word_counter: Any) -> None:
    models = HostedModels({"b": word_counter(), "a": word_counter()}, ServerSettings(), ServerMetrics())
    assert [hosted.name for hosted in models] == ["b", "a"]
    assert models.get(None).name == "b" and models.get("a").name == "a"
    assert refusal(lambda: models.get("c")) == (404, "no model 'c'; there are b, a")
    assert len(refusal(lambda: models.get("x" * 10_000))[1]) < 150


def test_outputs_are_checked(host: Callable[..., HostedModel], word_counter: Any) -> None:
    check_finite("it", np.array([[0.0, 1.0]]))
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(RequestError, match="it: an output is not a number; its weights are damaged"):
            check_finite("it", np.array([[0.5, 0.5], [value, 1.0]]))


def test_a_lost_process_is_answered_and_other_errors_pass() -> None:
    with pytest.raises(RequestError) as raised, lost_processes_reported("it"):
        raise ProcessLost("its process has ended (SIGKILL)")
    assert (raised.value.status_code, raised.value.kind) == (503, "unhealthy")
    assert raised.value.detail == "it: its process has ended (SIGKILL). It is started again for the next request"
    assert isinstance(raised.value.__cause__, ProcessLost) and raised.value.headers == {"Retry-After": "5"}
    with pytest.raises(KeyError), lost_processes_reported("it"):
        raise KeyError("x")


def test_the_end_waits_for_what_is_computed_and_frees_every_model(word_counter: Any) -> None:
    models = {name: word_counter() for name in "ab"}
    closed_while_running = []

    async def serve() -> None:
        hosted = HostedModels(models, ServerSettings(window_ms=0), ServerMetrics())
        hosted.start()
        models["a"].allowed.clear()
        asked = asyncio.create_task(hosted.get("a").outputs(["one two"], False))
        while not models["a"].is_running.is_set():
            await asyncio.sleep(0.005)
        closed_while_running.append(models["a"].is_closed)
        threading.Timer(0.05, models["a"].allowed.set).start()
        await hosted.stop()
        asked.cancel()

    asyncio.run(serve())
    assert closed_while_running == [False]
    assert models["a"].batches == [[2]] and all(model.is_closed for model in models.values())


def test_a_process_that_hangs_does_not_stop_other_models(word_counter: Any, counting_process: Any) -> None:
    models = {"keras": counting_process(), "a": word_counter(), "b": counting_process()}

    async def serve() -> None:
        hosted = HostedModels(models, ServerSettings(window_ms=0), ServerMetrics())
        hosted.start()
        models["keras"].allowed.clear()
        hanging = asyncio.create_task(hosted.get("keras").outputs(["one"], False))
        await until(models["keras"].is_running.is_set)
        for name in "ab":
            async with asyncio.timeout(8):  # the process would be held back for 10 s
                assert len(await hosted.get(name).outputs(["one two"], False)) == 1
        assert not hanging.done()
        hanging.cancel()
        await hosted.stop()

    asyncio.run(serve())
    assert models["a"].batches == models["b"].batches == [[2]]
    assert all(model.is_closed for model in models.values())


def test_models_of_this_process_share_one_thread_and_processes_have_their_own(
    word_counter: Any, counting_process: Any
) -> None:
    models = {"a": word_counter(), "b": word_counter(), "c": counting_process(), "d": counting_process()}
    hosted = HostedModels(models, ServerSettings(), ServerMetrics())
    threads = [id(each.executor) for each in hosted]
    assert threads[0] == threads[1] and len(set(threads)) == 3
    assert len({id(each.turns) for each in hosted}) == 1


@pytest.mark.parametrize(("timeout_s", "expected"), [(0.5, 60.0), (300.0, 300.0)])
def test_a_process_has_at_least_the_time_of_a_request_to_answer(
    host: Callable[..., HostedModel], counting_process: Any, timeout_s: float, expected: float
) -> None:
    assert host(counting_process(), timeout_s=timeout_s).model.answer_timeout_s == expected  # type: ignore[attr-defined]


def test_a_process_that_has_ended_is_started_again_without_a_request(
    counting_process: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from power_bert_runtime import UserError

    monkeypatch.setattr(hosted_models, "_CHECK_INTERVAL_S", 0.01)
    monkeypatch.setattr(hosted_models, "_PAUSE_AFTER_FAILED_START_S", 0.01)
    model = counting_process()

    async def serve() -> None:
        hosted = HostedModels({"keras": model}, ServerSettings(window_ms=0), ServerMetrics())
        hosted.start()
        await asyncio.sleep(0.1)
        assert model.restarts == 0
        model.is_ready, model.error = False, UserError("cannot be loaded")
        await until(lambda: model.restarts >= 2)
        assert not hosted.get("keras").is_ready
        model.error = None
        await until(lambda: hosted.get("keras").is_ready)
        await hosted.stop()

    with caplog.at_level("WARNING", "power_bert_runtime.server"):
        asyncio.run(serve())
    logged = [(record.levelname, record.fields) for record in caplog.records]  # type: ignore[attr-defined]
    assert logged[:2] == [
        ("WARNING", {"model": "keras"}),
        ("ERROR", {"model": "keras", "error": "cannot be loaded"}),
    ]


@pytest.mark.parametrize(
    ("error", "status", "kind", "headers"),
    [
        (invalid("m"), 422, "validation", None),
        (invalid("m", 400), 400, "validation", None),
        (too_large("m"), 413, "validation", None),
        (not_found("m"), 404, "not_found", None),
        (overloaded("m"), 429, "overloaded", {"Retry-After": "1"}),
        (timed_out("m"), 504, "timeout", None),
        (unavailable("m"), 503, "unhealthy", {"Retry-After": "5"}),
    ],
)
def test_kinds_of_errors(error: RequestError, status: int, kind: str, headers: Any) -> None:
    assert (error.status_code, error.kind, error.detail, error.headers) == (status, kind, "m", headers)


def test_messages_of_errors_can_always_be_sent() -> None:
    assert invalid("half of a pair: \ud83d, café").detail == "half of a pair: ?, café"


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "9", "x" * 100])
def test_names_that_fit(name: str) -> None:
    assert load_models([f"{name}=some/path"], lambda path: path) == {name: "some/path"}  # type: ignore[arg-type, return-value, comparison-overlap]


@pytest.mark.parametrize("name", ["-a", ".a", "_a", "a b", "ä", "x" * 101, "a\n"])
def test_names_that_would_not_fit_into_a_url(name: str) -> None:
    from power_bert_runtime import UserError

    with pytest.raises(UserError, match=r"cannot be the name of a model; give one of letters.*: NAME=some/path$"):
        load_models([f"{name}=some/path"], lambda path: pytest.fail("loaded"))


def test_an_equals_sign_in_a_folder_is_no_name(tmp_path: Path) -> None:
    loaded = load_models(["runs/a=b/model.onnx"], lambda path: path)  # type: ignore[arg-type, return-value]
    assert loaded == {"model": "runs/a=b/model.onnx"}


def test_names_are_checked_before_any_model_is_loaded(tmp_path: Path) -> None:
    from power_bert_runtime import UserError

    loaded: list[str] = []

    def load(path: str) -> Any:
        loaded.append(path)

    with pytest.raises(UserError):
        load_models(["good=a.onnx", "good=b.onnx"], load)
    assert loaded == []
    assert list(load_models(["b.onnx", "a=c.tflite"], load)) == ["b", "a"] and loaded == ["b.onnx", "c.tflite"]
