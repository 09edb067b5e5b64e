"""A masked language model fills the masks of augmentation."""

from pathlib import Path

import numpy as np
import pytest

from power_bert.distill.masked_words import load_masked_lm, make_filler
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.masked_lm import PowerBertMaskedLM
from power_bert.pretrain.outputs import encoder_without_pooler, write_preset
from power_bert.text.augmentation import MASK
from power_bert.text.tokenizer import WordPieceTokenizer

WORDS = ["the", "cat", "dog", "sat", "ran", "old", "##s", "."]
TOKENIZER = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS], lowercase=True)


@pytest.fixture(scope="module")
def language_model() -> PowerBertMaskedLM:
    """Whatever the sentence, it expects "dog"."""
    model = PowerBertMaskedLM(PowerBertBackbone(TOKENIZER.vocabulary_size, 1, 2, 8, 12, max_sequence_length=9))
    bias = np.zeros(TOKENIZER.vocabulary_size, np.float32)
    bias[[TOKENIZER.vocabulary.index(word) for word in ("##s", "[SEP]", "dog")]] = 60.0, 60.0, 50.0
    model.head.bias.assign(bias)
    return model


def test_words_come_from_the_model(language_model: PowerBertMaskedLM, tmp_path: Path) -> None:
    write_preset(tmp_path / "preset", language_model, TOKENIZER)
    fill = make_filler(str(tmp_path / "preset"))
    long = ["the"] * 20 + [MASK]
    filled = fill([["the", MASK, "sat"], ["old", "cats"], [MASK], long], [1, 2, 3, 4])
    assert filled == [["the", "dog", "sat"], ["old", "cats"], ["dog"], long]


def test_a_hugging_face_folder(language_model: PowerBertMaskedLM, tmp_path: Path) -> None:
    from power_bert.model.checkpoints import write_hugging_face

    head = {name: np.asarray(variable) for name, variable in language_model.head.canonical_variables.items()}
    checkpoint = encoder_without_pooler(language_model, TOKENIZER)
    write_hugging_face(tmp_path / "whole", checkpoint, head)
    loaded, tokenizer = load_masked_lm(str(tmp_path / "whole"))
    assert tokenizer.vocabulary == TOKENIZER.vocabulary
    for name, variable in loaded.head.canonical_variables.items():
        np.testing.assert_array_equal(variable, head[name])
    write_hugging_face(tmp_path / "encoder", checkpoint)
    with pytest.raises(UserError, match="no head of a masked language model"):
        load_masked_lm(str(tmp_path / "encoder"))
