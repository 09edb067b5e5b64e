"""The cost of an encoder in measured time."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from power_bert.elimination.allocation import whole_cost
from power_bert.elimination.flops import EncoderShape
from power_bert.errors import UserError
from power_bert.train import latency_cost
from power_bert.train.latency_cost import LatencyCost, LatencyTable, latency_table

TABLE = LatencyTable(
    tokens=[1, 11],
    heads=[1, 3],
    neurons=[32, 96],
    attention=[[1.0, 11.0], [3.0, 33.0]],
    attention_and_ranking=[[2.0, 12.0], [4.0, 34.0]],
    attention_of_cls=[[0.1, 1.1], [0.3, 3.3]],
    feed_forward=[[32.0, 320.0], [96.0, 960.0]],
    ends=[5.0, 15.0],
)
LENGTHS = np.array([1, 11, 11, 6])


def test_sizes_between_are_interpolated_and_averaged_over_the_examples() -> None:
    cost = LatencyCost(TABLE, LENGTHS)
    assert cost.lengths.tolist() == [1, 6, 11] and cost.ends == pytest.approx((5 + 15 + 15 + 10) / 4)
    tokens = cost.lengths
    of_two_heads = np.array([2 * 1, 2 * 6, 2 * 11]) @ [0.25, 0.25, 0.5]
    assert cost.attention(np.array([1, 2]), tokens, False, False)[1] == pytest.approx(of_two_heads)
    assert cost.attention(np.array([2]), tokens, False, True) == pytest.approx(of_two_heads + 1)
    assert cost.attention(np.array([2]), tokens, True, False) == pytest.approx(of_two_heads / 10)
    assert cost.feed_forward(np.array([64]), np.array([1, 1, 1])) == pytest.approx(64.0)


def test_noise_never_makes_a_larger_size_faster() -> None:
    noisy = replace(TABLE, feed_forward=[[32.0, 320.0], [30.0, 300.0]])
    few, many = LatencyCost(noisy, LENGTHS).feed_forward(np.array([32, 96]), np.array([1, 6, 11]))
    assert many == few


def test_the_whole_encoder_is_the_sum_of_its_parts() -> None:
    """Two blocks of 3 heads and 96 neurons, the last one with the attention and feed-forward layer of [CLS] alone."""
    shape = EncoderShape(hidden_dim=12, head_dim=4, heads=(3, 3), neurons=(96, 96), num_classes=2)
    cost = LatencyCost(TABLE, np.array([11]))
    assert whole_cost(cost, shape) == pytest.approx(15 + (33 + 960) + (3.3 + 96))


class TestTable:
    def test_measured_once(
        self, make_classifier: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        preset, path, said = tmp_path / "model", tmp_path / "latency.json", list[str]()
        make_classifier(intermediate_dim=64).save_to_preset(str(preset))
        reporter: Any = SimpleNamespace(say=said.append)
        table = latency_table(preset, path, 9, reporter)
        assert (table.tokens, table.heads, table.neurons) == ([1, 4, 8, 9], [1, 2], [32, 64])
        for name in ("attention", "attention_and_ranking", "attention_of_cls", "feed_forward"):
            assert np.shape(getattr(table, name)) == (2, 4) and np.min(getattr(table, name)) >= 0
        assert min(table.ends) > 0 and len(said) == 1
        assert json.loads(path.read_text())["threads"] == 1
        monkeypatch.setattr(latency_cost, "measure_in_own_process", lambda *_: pytest.fail("measured again"))
        assert latency_table(preset, path, 9, reporter) == table

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "latency.json"
        path.write_text(json.dumps({**asdict(TABLE), "ends": None}))
        with pytest.raises(UserError, match=r"latency\.json"):
            latency_table(tmp_path, path, 9, SimpleNamespace(say=print))  # type: ignore[arg-type]
