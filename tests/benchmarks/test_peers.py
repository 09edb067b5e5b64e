"""A run beside the same BERT in other runtimes: every model computes what it computes in Keras."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fixtures.fast_peer import open_counter
from power_bert.benchmarks import peers as module
from power_bert.benchmarks.peers import Peer, measure_peers, peers_table
from power_bert.benchmarks.turns import Measured
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert_runtime.encoded_texts import EncodedTexts

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(95))]
MAX_LENGTH = 16


def save_model(folder: Path, extraction: str | None) -> Path:
    backbone = PowerBertBackbone(
        len(WORDS),
        num_layers=3,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=MAX_LENGTH,
        initializer_range=0.6,
        extraction=extraction,
        retention=(1.0, 0.6, 0.2) if extraction else None,
    )
    preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(WORDS), sequence_length=MAX_LENGTH)
    PowerBertTextClassifier(backbone, num_classes=3, preprocessor=preprocessor).save_to_preset(str(folder))
    return folder


def encoded_examples(count: int) -> EncodedTexts:
    generator = np.random.default_rng(0)
    rows = [[2, *generator.integers(5, 100, size), 3] for size in generator.integers(1, MAX_LENGTH - 2, count)]
    return EncodedTexts.from_rows(rows, [len(row) for row in rows])


@pytest.mark.slow
def test_same_labels_in_every_runtime(tmp_path: Path) -> None:
    full, eliminating = save_model(tmp_path / "full", None), save_model(tmp_path / "eliminating", "hard")
    (tmp_path / "peers").mkdir()
    said: list[str] = []
    folder, encoded = tmp_path / "peers", encoded_examples(40)
    frame = measure_peers(full, eliminating, encoded, MAX_LENGTH, 1, folder, runs=4, say=said.append)
    assert all(" not installed" in line for line in said), said
    torch = ["PyTorch"] if find_spec("torch") and find_spec("transformers") else []
    onnx = ["ONNX Runtime float32", "ONNX Runtime dynamic int8"]
    assert list(frame["runtime"]) == ["Keras", *torch, *onnx, "Keras", *onnx]
    in_float32 = frame[~frame["runtime"].str.endswith("int8")]
    assert (in_float32["agreement"] == 1.0).all(), frame
    assert (frame[["single_p50_ms", "bucketed_per_second", "padded_per_second"]] > 0).all(axis=None)


def measured(labels: list[int], single: list[float], bucketed: float, padded: float) -> Measured:
    times = {"one by one": single, "bucketed": [bucketed], "padded": [padded]}
    return Measured(np.eye(3)[labels], times, {"one by one": 1, "bucketed": 10, "padded": 10})


def test_figures_are_relative_to_the_bert_in_keras() -> None:
    peers = [Peer(*names, module.open_keras, Path()) for names in (("BERT", "Keras"), ("BERT", "PyTorch"))]
    peers.append(Peer("eliminated", "Keras", module.open_keras, Path()))
    times = [
        measured([0, 1, 2, 2], [4.0, 6.0, 8.0], 100.0, 200.0),
        measured([0, 1, 2, 1], [3.0, 3.0, 3.0], 50.0, 50.0),
        measured([1, 1, 1, 1], [2.0, 2.0, 2.0], 25.0, 20.0),
    ]
    frame = module.to_frame(module._rows(peers, times))
    assert list(frame["agreement"]) == [1.0, 0.75, 1.0], "with the same model in Keras"
    assert list(frame["single_speedup"]) == [1.0, 2.0, 3.0]
    assert list(frame["bucketed_per_second"]) == [100.0, 200.0, 400.0]
    assert list(frame["padded_speedup"]) == [1.0, 4.0, 10.0]
    first = peers_table(frame).iloc[0]
    assert first["model"] == "BERT, Keras" and first["one text, p50 (p95) ms"] == "6.00 (7.80)  1.00×"


def test_scores_of_a_regression_have_no_agreement() -> None:
    assert np.isnan(module._agreement(np.ones((3, 1)), np.ones((3, 1))))


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in ("torch", "onnx") else object())
    assert module.missing_packages() == {"PyTorch": ["torch"], "ONNX Runtime": ["onnx"]}


def test_a_peer_that_does_not_open_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = save_model(tmp_path / "full", None)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")

    def peers_of(model: str, *_: object) -> list[Peer]:
        return [Peer(model, "Keras", open_counter, full), Peer(model, "ONNX Runtime", module.open_onnx, broken)]

    monkeypatch.setattr(module, "_peers_of", peers_of)
    said: list[str] = []
    frame = measure_peers(full, full, encoded_examples(5), MAX_LENGTH, 1, tmp_path, runs=1, say=said.append)
    assert list(frame["runtime"]) == ["Keras", "Keras"] and len(said) >= 2
    assert said[-1].startswith("eliminated, ONNX Runtime is not measured: ")
