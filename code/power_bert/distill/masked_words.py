"""Data augmentation that replaces [MASK] by likely words of a masked language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from power_bert.errors import UserError
from power_bert.model.checkpoints import checkpoint_kind, locate_checkpoint
from power_bert.model.checkpoints.masked_lm_head import HUGGING_FACE_HEAD
from power_bert.model.checkpoints.readers import open_safetensors
from power_bert.model.masked_lm import PowerBertMaskedLM
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.pretrained import load_pretrained
from power_bert.predict.forward import compiled_forward
from power_bert.text.augmentation import MASK, FillMasks
from power_bert.text.tokenizer import WordPieceTokenizer

_CHOICES = 10  # a word is drawn from this many of the most probable ones
_BATCH_SIZE = 64
_CONTINUES_A_WORD = "##"


def load_masked_lm(source: str) -> tuple[PowerBertMaskedLM, WordPieceTokenizer]:
    """Load a masked language model with its head and its tokenizer.

    Args:
        source: Result of `bash run.sh pretrain` (OUT/model or OUT/hugging_face), or Hugging Face folder of a
            BertForMaskedLM or BertForPreTraining.

    Raises:
        UserError: There is no such checkpoint, or it has no head of a masked language model.
    """
    location = locate_checkpoint(source)
    kind = checkpoint_kind(location)
    if kind == "power_bert" and (location / "task.json").is_file():
        model = PowerBertMaskedLM.from_preset(str(location), preprocessor=None)
        return model, PowerBertTokenizer.from_preset(str(location)).word_pieces
    if kind != "hugging_face":
        raise _no_head(source)
    stored = open_safetensors(location)
    if any(row.names[0] not in stored.shapes for row in HUGGING_FACE_HEAD):
        raise _no_head(source)
    pretrained = load_pretrained(str(location))
    model = PowerBertMaskedLM(pretrained.backbone)
    for row in HUGGING_FACE_HEAD:
        value = stored.read_float32(row.names[0])
        model.head.canonical_variables[row.canonical].assign(row.layout.to_canonical(value, (value.shape[-1],)))
    return model, pretrained.tokenizer.word_pieces


def _no_head(source: str) -> UserError:
    return UserError(
        f"--lm-checkpoint {source}: no head of a masked language model. Expected OUT/model of `bash run.sh pretrain`, "
        "or a Hugging Face folder of a BertForMaskedLM"
    )


def make_filler(source: str) -> FillMasks:
    """Make a function that fills the masks of sentences, with one random seed per sentence.

    Raises:
        UserError: There is no such checkpoint, or it has no head of a masked language model.
    """
    model, tokenizer = load_masked_lm(source)
    is_word = np.array(
        [not token.startswith(("[", _CONTINUES_A_WORD)) and token.isalnum() for token in tokenizer.vocabulary]
    )
    is_word[tokenizer.special_ids] = False
    mask_id = tokenizer.mask_id
    forward, longest = compiled_forward(model), model.backbone.max_sequence_length

    def fill(sentences: Sequence[list[str]], seeds: Sequence[int]) -> list[list[str]]:
        rows = [_encode(words, tokenizer, mask_id, longest) for words in sentences]
        filled = [list(words) for words in sentences]
        masked = [row for row, (_, places) in enumerate(rows) if places]
        masked.sort(key=lambda row: len(rows[row][0]))
        for start in range(0, len(masked), _BATCH_SIZE):
            chosen = masked[start : start + _BATCH_SIZE]
            logits = _logits(forward, [rows[row][0] for row in chosen], [rows[row][1] for row in chosen])
            for row, of_row in zip(chosen, logits, strict=True):
                generator = np.random.default_rng(seeds[row])
                for (_, word), scores in zip(rows[row][1], of_row, strict=False):
                    filled[row][word] = tokenizer.vocabulary[_draw(scores, is_word, generator)]
        return filled

    return fill


def _encode(
    words: Sequence[str], tokenizer: WordPieceTokenizer, mask_id: int, longest: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """Encode a sentence: token ids, and for each mask its position among them and the index of its word."""
    pieces, places = [tokenizer.cls_id], []
    for number, (word, of_word) in enumerate(zip(words, tokenizer.token_ids(words), strict=True)):
        if len(pieces) + len(of_word) >= longest:
            break
        if word == MASK:
            places.append((len(pieces), number))
            of_word = [mask_id]
        pieces += of_word
    return [*pieces, tokenizer.sep_id], places


def _logits(forward: Any, rows: list[list[int]], places: list[list[tuple[int, int]]]) -> np.ndarray:
    """Compute the logits at the masks, (sentences, max masks per sentence, vocabulary)."""
    length, most = max(map(len, rows)), max(map(len, places))
    token_ids, mask = np.zeros((2, len(rows), length), np.int32)
    positions = np.zeros((len(rows), most), np.int32)
    for index, (row, of_row) in enumerate(zip(rows, places, strict=True)):
        token_ids[index, : len(row)], mask[index, : len(row)] = row, 1
        positions[index, : len(of_row)] = [position for position, _ in of_row]
    inputs = {"token_ids": token_ids, "segment_ids": 0 * mask, "padding_mask": mask, "mask_positions": positions}
    return np.asarray(ops.convert_to_numpy(forward(inputs)))


def _draw(scores: np.ndarray, is_word: np.ndarray, generator: np.random.Generator) -> int:
    scores = np.where(is_word, scores[: len(is_word)], -np.inf)
    likeliest = np.argsort(-scores, kind="stable")[:_CHOICES]
    weights = np.exp(scores[likeliest] - scores[likeliest[0]])
    return int(generator.choice(likeliest, p=weights / weights.sum()))


def needs_checkpoint(source: str | None) -> str:
    """Return the path of the given checkpoint; raises a UserError if there is none."""
    if not source:
        raise UserError(
            "--augment lm needs --lm-checkpoint: OUT/model of `bash run.sh pretrain`, or a Hugging Face BERT"
        )
    if not source.startswith("hf://") and not Path(source).exists():
        raise UserError(f"--lm-checkpoint {source}: no such folder")
    return source
