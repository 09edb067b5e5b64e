"""Tests of power_bert.benchmarks.latency: what is run and what is recorded, never how fast."""

from collections.abc import Sequence

import numpy as np
import pytest

from power_bert.benchmarks.latency import (
    Forward,
    Timing,
    compare_on_clock,
    measure,
    measure_interleaved,
    processor_name,
    threads_in_use,
    time_single_texts,
)
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import build_without_elimination
from power_bert.predict.forward import compiled_forward
from power_bert.runs.timings import BUCKETED, BUCKETED_ELIMINATED, FIXED_PADDING
from power_bert.text.batches import Batch, evaluation_batches
from power_bert_runtime.encoded_texts import EncodedTexts

MAX_LENGTH = 11


def make_classifier(extraction: str | None, retention: Sequence[float] | None = None) -> PowerBertTextClassifier:
    backbone = PowerBertBackbone(
        vocabulary_size=40,
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        intermediate_dim=10,
        max_sequence_length=MAX_LENGTH,
        similarity="cosine",
        extraction=extraction,
        retention=retention,
        initializer_range=0.5,
    )
    return PowerBertTextClassifier(backbone, num_classes=3, labels=("a", "b", "c"))


def make_encoded(lengths: Sequence[int] = (7, 3, 11, 5, 4)) -> EncodedTexts:
    generator = np.random.default_rng(1)
    token_ids = [generator.integers(1, 40, length).astype(np.int32) for length in lengths]
    return EncodedTexts.from_rows(token_ids, lengths)


def one_batch(encoded: EncodedTexts) -> Batch:
    return next(evaluation_batches(encoded, len(encoded), MAX_LENGTH))


class TestMeasure:
    def test_one_pass_more_than_repeats_over_every_batch(self) -> None:
        batches = list(evaluation_batches(make_encoded(), 2, MAX_LENGTH))
        calls: list[int] = []

        def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
            calls.append(len(inputs["token_ids"]))
            return np.zeros(1)

        timing = measure(forward, batches, repeats=4, name="counted")
        assert calls == [2, 2, 1] * (1 + 4)
        assert (timing.name, timing.batch_size, timing.examples, timing.repeats) == ("counted", 2, 5, 4)
        assert timing.batches_at_once * timing.threads == threads_in_use() >= 1
        assert timing.seconds_per_example > 0
        assert timing.examples_per_second == pytest.approx(1 / timing.seconds_per_example)

    def test_variants_take_turns(self) -> None:
        batches = list(evaluation_batches(make_encoded(), 5, MAX_LENGTH))
        order: list[str] = []

        def recorder(name: str) -> Forward:
            return lambda inputs: np.array(order.append(name))  # type: ignore[func-returns-value]

        variants = {name: (recorder(name), batches) for name in ("first", "second")}
        timings = measure_interleaved(variants, repeats=3)
        assert order == ["first", "second"] * 4
        assert list(timings) == ["first", "second"]

    def test_results_come_to_the_host(self) -> None:
        fetched: list[bool] = []

        class Result:
            def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
                fetched.append(True)
                return np.zeros(1)

        measure(lambda inputs: Result(), [one_batch(make_encoded())], repeats=2)
        assert len(fetched) == 3

    @pytest.mark.parametrize(("num_batches", "repeats"), [(0, 1), (1, 0)])
    def test_wrong_arguments(self, num_batches: int, repeats: int) -> None:
        with pytest.raises(ValueError, match="at least one repeat"):
            measure(lambda inputs: 0, [one_batch(make_encoded())] * num_batches, repeats)


class TestSingleTexts:
    def test_each_example_alone_and_in_turns(self) -> None:
        calls: list[tuple[str, int]] = []

        def forward_of(name: str) -> Forward:
            def forward(inputs: dict[str, np.ndarray]) -> np.ndarray:
                calls.append((name, int(inputs["padding_mask"].sum())))
                return inputs["token_ids"]

            return forward

        encoded = make_encoded((7, 3))
        timings = time_single_texts({name: forward_of(name) for name in ("a", "b")}, encoded, MAX_LENGTH, repeats=2)
        assert sorted(calls[:6]) == [("a", calls[0][1])] * 3 + [("b", calls[0][1])] * 3 and calls[0][0] != calls[1][0]
        assert {length for _, length in calls} == {3, 7} and len(calls) == 12
        for timing in timings.values():
            assert (timing.examples, timing.repeats) == (2, 2) and 0 < timing.p50_ms <= timing.p95_ms


class TestCompiledForward:
    def test_same_as_the_model_for_every_shape(self) -> None:
        classifier = make_classifier("hard", (0.7, 0.3))
        forward = compiled_forward(classifier)
        for batch in evaluation_batches(make_encoded(), 2, MAX_LENGTH):
            expected = np.asarray(classifier(batch.inputs, training=False))
            np.testing.assert_allclose(np.asarray(forward(batch.inputs)), expected, atol=1e-5)


class TestWithoutElimination:
    @pytest.mark.parametrize(("extraction", "retention"), [("hard", (11, 11)), ("soft", None), (None, None)])
    def test_same_outputs_where_all_words_are_kept(
        self, extraction: str | None, retention: Sequence[int] | None
    ) -> None:
        classifier = make_classifier(extraction, retention)
        whole = build_without_elimination(classifier)
        inputs = one_batch(make_encoded()).inputs
        assert whole.backbone.extraction is None and whole.backbone.retention is None
        assert whole.labels == ("a", "b", "c")
        expected = np.asarray(classifier(inputs, training=False))
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(np.asarray(whole(inputs, training=False)), expected, atol=1e-5)

    def test_the_original_stays_as_it_is(self) -> None:
        classifier = make_classifier("hard", (0.5, 0.1))
        inputs = one_batch(make_encoded()).inputs
        before = np.asarray(classifier(inputs, training=False))
        whole = build_without_elimination(classifier)
        assert np.abs(np.asarray(whole(inputs, training=False)) - before).max() > 1e-4
        np.testing.assert_array_equal(np.asarray(classifier(inputs, training=False)), before)


def make_pair() -> tuple[PowerBertTextClassifier, PowerBertTextClassifier]:
    return make_classifier(None), make_classifier("hard", (0.5, 0.2))


class TestCompareOnClock:
    def test_three_ways(self) -> None:
        timings = compare_on_clock(*make_pair(), make_encoded(), MAX_LENGTH, 2, repeats=1)
        assert list(timings) == [FIXED_PADDING, BUCKETED, BUCKETED_ELIMINATED]
        for name, timing in timings.items():
            assert isinstance(timing, Timing)
            assert (timing.name, timing.batch_size, timing.examples, timing.repeats) == (name, 2, 5, 1)

    def test_the_batches_of_each_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: dict[str, list[tuple[int, int]]] = {}

        def record(variants: dict[str, tuple[object, list[Batch]]], repeats: int) -> dict[str, Timing]:
            for name, (_, batches) in variants.items():
                seen[name] = [batch.inputs["token_ids"].shape for batch in batches]
            return {}

        monkeypatch.setattr("power_bert.benchmarks.latency.measure_interleaved", record)
        compare_on_clock(*make_pair(), make_encoded(), MAX_LENGTH, batch_size=2)
        assert seen[FIXED_PADDING] == [(2, 11), (2, 11), (1, 11)]
        assert seen[BUCKETED] == seen[BUCKETED_ELIMINATED] == [(2, 4), (2, 8), (1, 11)]


def test_the_processor_has_a_name() -> None:
    assert processor_name()
