"""Tests of power_bert.pretrain.outputs: each form goes into `load_pretrained` and computes what was trained."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops
from rich.console import Console

from power_bert.config.pretraining import PretrainingSettings
from power_bert.corpus.manifest import Corpus
from power_bert.model.masked_lm import PowerBertMaskedLM
from power_bert.model.pretrained import load_pretrained
from power_bert.pretrain.pretraining_folder import PretrainingDir
from power_bert.pretrain.run_pretraining import pretrain

TEXTS = ["the cat sleeps.", "the dog sings. the mouse"]


@pytest.fixture(scope="module")
def pretrained(
    make_settings: Callable[..., PretrainingSettings], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], PretrainingDir]:
    """A finished pre-training with one similarity."""
    quiet, root = Console(quiet=True), tmp_path_factory.mktemp("outputs")
    return cache(lambda similarity: pretrain(make_settings(similarity=similarity), root / similarity, quiet))


def hidden_states(checkpoint: str, corpus: Corpus, **changes: Any) -> np.ndarray:
    loaded = load_pretrained(checkpoint, **changes)
    assert loaded.tokenizer.get_vocabulary() == corpus.tokenizer.vocabulary and loaded.tokenizer.lowercase
    encoded = loaded.tokenizer.word_pieces.encode(TEXTS, None, 11)
    inputs = {"token_ids": np.zeros((2, 11), "int32"), "padding_mask": np.zeros((2, 11), "int32")}
    for row, ids in enumerate(encoded.token_ids):
        inputs["token_ids"][row, : len(ids)], inputs["padding_mask"][row, : len(ids)] = ids, 1
    inputs["segment_ids"] = np.zeros((2, 11), "int32")
    output = ops.convert_to_numpy(loaded.backbone(inputs)["sequence_output"])
    return np.asarray(output * inputs["padding_mask"][:, :, None])


def test_all_forms_compute_the_same(pretrained: Callable[[str], PretrainingDir], tiny_corpus: Corpus) -> None:
    folder = pretrained("dot")
    expected = hidden_states(str(folder.model), tiny_corpus)
    for place in (folder.hugging_face, folder.tf1_prefix):
        assert np.abs(hidden_states(str(place), tiny_corpus) - expected).max() < 1e-5
        notes = load_pretrained(str(place)).notes
        assert any("no pooler" in note for note in notes)
    assert not list(folder.path.glob("*/NOTE.txt"))


@pytest.mark.slow
def test_similarity_and_its_scales_survive_in_the_preset_alone(
    pretrained: Callable[[str], PretrainingDir], tiny_corpus: Corpus
) -> None:
    folder = pretrained("cosine")
    loaded = load_pretrained(str(folder.model), similarity="cosine").backbone
    scales = np.stack([ops.convert_to_numpy(block.attention.scale) for block in loaded.blocks])
    assert loaded.similarity == "cosine" and np.ptp(scales) > 1e-4, "learned"
    for place in (folder.hugging_face, folder.tf1_prefix.parent):
        assert "cosine attention" in (place / "NOTE.txt").read_text(encoding="utf-8")
        assert load_pretrained(str(place)).backbone.similarity == "dot"
    trained = hidden_states(str(folder.model), tiny_corpus, similarity="cosine")
    assert np.abs(hidden_states(str(folder.hugging_face), tiny_corpus) - trained).max() > 1e-3


def test_the_second_segment_starts_as_the_first(pretrained: Callable[[str], PretrainingDir]) -> None:
    folder = pretrained("dot")
    for place in (folder.model, folder.hugging_face, folder.tf1_prefix):
        first, second = ops.convert_to_numpy(load_pretrained(str(place)).backbone.embeddings.segment)
        np.testing.assert_array_equal(first, second)
        assert np.abs(first).max() > 0


def test_the_preset_predicts_masked_tokens(pretrained: Callable[[str], PretrainingDir]) -> None:
    model = PowerBertMaskedLM.from_preset(str(pretrained("dot").model))
    inputs = {name: np.zeros((1, 5), "int32") for name in model.backbone.input} | {"mask_positions": np.array([[1, 2]])}
    assert model(inputs).shape == (1, 2, 18)


@pytest.mark.usefixtures("needs_torch")
def test_hugging_face_predicts_the_same(pretrained: Callable[[str], PretrainingDir]) -> None:
    """BertForMaskedLM loads the head too."""
    import torch
    import transformers

    folder, positions = pretrained("dot"), np.array([[1, 3, 4], [2, 2, 5]], "int32")
    ids = np.random.default_rng(0).integers(5, 18, (2, 9)).astype("int32")
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1, "mask_positions": positions}
    ours = ops.convert_to_numpy(PowerBertMaskedLM.from_preset(str(folder.model))(inputs))
    theirs = transformers.BertForMaskedLM.from_pretrained(folder.hugging_face).eval()
    with torch.no_grad():
        logits = theirs(torch.from_numpy(ids.astype("int64"))).logits.numpy()
    assert np.abs(np.take_along_axis(logits, positions[:, :, None], axis=1) - ours).max() < 1e-4


@pytest.mark.slow
def test_each_form_goes_into_the_main_job(
    pretrained: Callable[[str], PretrainingDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from power_bert.config.experiment import resolve_experiment
    from power_bert.train.run_experiment import run_experiment

    data = tmp_path / "CoLA"
    data.mkdir()
    rows = [f"x\t{number % 2}\t\tthe {'cat' if number % 2 else 'sleep'} runs." for number in range(8)]
    for name in ("train.tsv", "dev.tsv"):
        (data / name).write_text("\n".join(rows) + "\n")
    (data / "test.tsv").write_text("index\tsentence\n0\tthe cat\n")
    folder = pretrained("dot")
    for number, checkpoint in enumerate((folder.model, folder.hugging_face, folder.tf1_prefix)):
        given: dict[str, Any] = {
            "task": "cola",
            "data_dir": str(data),
            "checkpoint_path": str(checkpoint),
            "max_length": 11,
            "retention_config": "0.5",  # there is nothing to search in the one block of this encoder
            **{"output_dir": str(tmp_path / str(number)), "epochs": 3, "batch_size": 4, "lr_bert": 0.01},
        }
        experiment = resolve_experiment(given)
        run_dir = run_experiment(experiment, console=Console(quiet=True))
        assert json.loads(run_dir.phase("3_retrain").metrics.read_text())["scores"]["matthews"] is not None
