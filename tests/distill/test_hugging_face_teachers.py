"""DistilBERT and RoBERTa classifiers as Hugging Face saves them, against its own outputs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.distill.teachers import find_teacher
from power_bert.text.custom_task import make_custom_task
from power_bert.text.examples import Examples

pytestmark = pytest.mark.usefixtures("needs_torch")

TASK = make_custom_task(("text",), "label", ("bad", "good", "plain"), "accuracy")
# Another order than the task's, so that matching by name shows.
NAMES = {"id2label": {0: "plain", 1: "bad", 2: "good"}, "label2id": {"plain": 0, "bad": 1, "good": 2}}
TEXTS = ["the fine road", "awful", "the the nice table road fine", "the [MASK] road"]
WORDS = ["the", "fine", "nice", "awful", "table", "road"]


def save_distilbert(folder: Path) -> tuple[Any, list[list[int]]]:
    import transformers

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    config = transformers.DistilBertConfig(
        vocab_size=len(vocabulary), n_layers=2, n_heads=2, dim=8, hidden_dim=12, max_position_embeddings=20, **NAMES
    )
    ids = {word: number for number, word in enumerate(vocabulary)}
    encoded = [[ids["[CLS]"], *(ids[word] for word in text.split()), ids["[SEP]"]] for text in TEXTS]
    return transformers.DistilBertForSequenceClassification(config), encoded


def save_roberta(folder: Path) -> tuple[Any, list[list[int]]]:
    """Its words are single bytes, as there are no merges; "Ġ" is a space."""
    import transformers

    symbols = sorted(set("".join(WORDS)))
    vocabulary = {
        word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *symbols, "Ġ", "<mask>"])
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    config = transformers.RobertaConfig(
        **{"vocab_size": len(vocabulary), "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8},
        **{"intermediate_size": 12, "max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1},
        **{"layer_norm_eps": 1e-5, **NAMES},
    )
    *plain, masked = TEXTS
    encoded = [[0, *(vocabulary[letter] for letter in text.replace(" ", "Ġ")), 2] for text in plain]
    before, after = masked.split(" [MASK]")  # the mask stands for the space before it, too
    letters = [*before, "<mask>", *after.replace(" ", "Ġ")]
    encoded.append([0, *(vocabulary[letter] for letter in letters), 2])
    return transformers.RobertaForSequenceClassification(config), encoded


@pytest.mark.slow
@pytest.mark.parametrize("save", [save_distilbert, save_roberta])
def test_outputs(save: Callable[[Path], tuple[Any, list[list[int]]]], tmp_path: Path) -> None:
    import torch

    torch.manual_seed(1)
    model, encoded = save(tmp_path)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    model.eval().save_pretrained(tmp_path)
    with torch.no_grad():
        logits = np.concatenate([model(torch.tensor([ids])).logits.numpy() for ids in encoded])
    teacher = find_teacher(str(tmp_path), TASK, 40)
    assert not teacher.is_own
    np.testing.assert_allclose(teacher.model.outputs(Examples(TEXTS, None, None)), logits[:, [1, 2, 0]], atol=2e-4)
