"""Tokenizer and preprocessor of the classifier as keras-hub layers, on the one tokenizer of the project."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_hub
import numpy as np
from keras_hub.src.utils.tensor_utils import in_tf_function

from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.preset import WholePreset
from power_bert.model.text_backbone import INPUT_NAMES
from power_bert.text.batches import pad_batch
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_settings import TokenizerSettings
from power_bert.text.wordpiece_vocabulary import Vocabulary, read_vocabulary

VOCABULARY_FILE = "vocabulary.txt"


@keras.saving.register_keras_serializable(package="power_bert")
class PowerBertTokenizer(WholePreset, keras_hub.tokenizers.Tokenizer):
    """BERT's WordPiece as a keras-hub tokenizer; differs from keras-hub's in stripping accents, as BERT does.

    Args:
        vocabulary: Tokens in the order of their ids, a `Vocabulary` where the tokenizer has settings of its own; None
            where a preset or a ``.keras`` file brings them.
        lowercase: Whether the vocabulary is uncased; None takes what the settings say.
        settings: Further settings, as `TokenizerSettings.to_json` writes them; None takes those of the vocabulary.
    """

    backbone_cls = PowerBertBackbone

    def __init__(
        self,
        vocabulary: Sequence[str] | None = None,
        lowercase: bool | None = None,
        settings: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        tokens = Vocabulary.of(vocabulary or [])
        if settings is not None:
            tokens = tokens.with_settings(TokenizerSettings.from_json(settings, "tokenizer"))
        if lowercase is not None:
            tokens = tokens.with_settings(dataclasses.replace(tokens.settings, lowercase=lowercase))
        self.settings = tokens.settings
        self.file_assets = [VOCABULARY_FILE]
        self._word_pieces = None if vocabulary is None else WordPieceTokenizer(tokens)

    @property
    def lowercase(self) -> bool:
        """Whether texts are lower-cased."""
        return self.settings.lowercase

    def tokenize(self, inputs: str | Sequence[str]) -> np.ndarray | list[np.ndarray]:
        """Token ids of a text or of each text, with ``[CLS]`` and ``[SEP]``, not padded."""
        if isinstance(inputs, str):
            return self.tokenize([inputs])[0]
        return list(self.word_pieces.encode(list(inputs), None, 2**20).token_ids)

    @property
    def word_pieces(self) -> WordPieceTokenizer:
        """The plain tokenizer inside."""
        if self._word_pieces is None:
            raise ValueError("the tokenizer has no vocabulary yet: pass `vocabulary` or load a preset")
        return self._word_pieces

    def get_vocabulary(self) -> list[str]:
        return self.word_pieces.vocabulary

    def vocabulary_size(self) -> int:
        return self.word_pieces.vocabulary_size

    def save_assets(self, dir_path: str) -> None:
        self.word_pieces.save(os.path.join(dir_path, VOCABULARY_FILE))

    def load_assets(self, dir_path: str) -> None:
        vocabulary = read_vocabulary(os.path.join(dir_path, VOCABULARY_FILE))
        self._word_pieces = WordPieceTokenizer(vocabulary.with_settings(self.settings))

    def get_config(self) -> dict[str, Any]:
        further = {"settings": self.settings.unusual} if self.settings.unusual else {}
        return {**super().get_config(), "lowercase": self.lowercase, **further}


@keras.saving.register_keras_serializable(package="power_bert")
class PowerBertTextClassifierPreprocessor(WholePreset, keras_hub.models.Preprocessor):
    """Raw texts, or pairs of texts, to the three inputs of the model, padded to the longest of the batch.

    Args:
        tokenizer: a `PowerBertTokenizer`.
        sequence_length: word pieces at most; longer texts are cut.

    Example:
        >>> preprocessor(["one sentence", "another one"])  # single sentences
        >>> preprocessor((["a first one"], ["its second one"]), None)  # pairs; a lone tuple is (texts, labels)
    """

    backbone_cls = PowerBertBackbone
    tokenizer_cls = PowerBertTokenizer

    def __init__(self, tokenizer: PowerBertTokenizer, sequence_length: int = 128, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(sequence_length, int) or sequence_length < 1:
            raise ValueError(f"sequence_length={sequence_length!r}: expected a whole number from 1")
        self.tokenizer = tokenizer
        self.sequence_length = sequence_length

    def build(self, input_shape: Any) -> None:
        self.built = True  # without this Keras warns that the tokenizer might have weights

    def call(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        parts = x if isinstance(x, tuple) else (x,)
        inputs = self._encode_in_graph(parts) if in_tf_function() else self._encode(*parts)
        return keras.utils.pack_x_y_sample_weight(inputs, y, sample_weight)

    def _encode(self, first: Any, second: Any = None) -> dict[str, np.ndarray]:
        encoded = self.tokenizer.word_pieces.encode(_texts(first), _optional_texts(second), self.sequence_length)
        return pad_batch(encoded, np.arange(len(encoded)), int(encoded.lengths.max(initial=1)))

    def _encode_in_graph(self, parts: tuple[Any, ...]) -> dict[str, Any]:
        """The same inside a tf.data pipeline, where texts are symbolic."""
        import tensorflow as tf

        def encode(*texts: np.ndarray) -> list[np.ndarray]:
            inputs = self._encode(*texts)
            return [inputs[name] for name in INPUT_NAMES]

        outputs = tf.numpy_function(encode, list(parts), [tf.int32] * len(INPUT_NAMES))
        for output in outputs:
            output.set_shape((None, None))
        return dict(zip(INPUT_NAMES, outputs, strict=True))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sequence_length": self.sequence_length}


def _optional_texts(texts: Any) -> list[str] | None:
    return None if texts is None else _texts(texts)


def _texts(texts: Any) -> list[str]:
    """Python strings from one string, a list, a NumPy array or an eager tensor of strings or UTF-8 bytes."""
    if hasattr(texts, "numpy"):
        texts = texts.numpy()
    if isinstance(texts, str | bytes):
        texts = [texts]
    values = texts.tolist() if isinstance(texts, np.ndarray) else list(texts)
    return [value.decode("utf-8") if isinstance(value, bytes) else value for value in values]
