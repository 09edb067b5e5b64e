"""Tokenizer and preprocessor of the classifier as keras-hub layers around the project's WordPiece tokenizer."""

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
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary, read_vocabulary
from power_bert_runtime.padding import pad_batch
from power_bert_runtime.tokenizer_settings import TokenizerSettings

VOCABULARY_FILE = "vocabulary.txt"


@keras.saving.register_keras_serializable(package="power_bert")
class PowerBertTokenizer(WholePreset, keras_hub.tokenizers.Tokenizer):
    """BERT's WordPiece tokenizer for keras-hub; unlike keras-hub's own it strips accents, as BERT does.

    Args:
        vocabulary: Tokens in the order of their ids, or a `Vocabulary` if the tokenizer has settings of its own; None
            if a preset or a ``.keras`` file supplies them.
        lowercase: Whether the vocabulary is uncased; None uses the settings.
        settings: Further settings, in the form of `TokenizerSettings.to_json`; None uses those of the vocabulary.
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
        """Whether texts are lowercased."""
        return self.settings.lowercase

    def tokenize(self, inputs: str | Sequence[str]) -> np.ndarray | list[np.ndarray]:
        """Tokenize one text or each text: token ids with ``[CLS]`` and ``[SEP]``, int32 (length,), without padding."""
        if isinstance(inputs, str):
            return self.tokenize([inputs])[0]
        return list(self.word_pieces.encode(list(inputs), None, 2**20).token_ids)

    @property
    def word_pieces(self) -> WordPieceTokenizer:
        """WordPiece tokenizer that this layer wraps."""
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
    """Preprocessor from raw texts or text pairs to the three model inputs, padded to the longest of the batch.

    Args:
        tokenizer: Tokenizer of the model.
        sequence_length: Max length in tokens; longer texts are truncated.

    Example:
        >>> preprocessor = classifier.preprocessor
        >>> inputs = preprocessor(["one sentence", "another one"])  # single sentences
        >>> sorted(inputs), inputs["token_ids"].shape[0]
        (['padding_mask', 'segment_ids', 'token_ids'], 2)
        >>> inputs = preprocessor((["a first one"], ["its second one"]), None)  # pairs; a lone tuple is (texts, labels)
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
        """Encode inside a tf.data pipeline, where texts are symbolic."""
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
    """Convert a string, a list, a NumPy array or an eager tensor of strings or UTF-8 bytes to Python strings."""
    if hasattr(texts, "numpy"):
        texts = texts.numpy()
    if isinstance(texts, str | bytes):
        texts = [texts]
    values = texts.tolist() if isinstance(texts, np.ndarray) else list(texts)
    return [value.decode("utf-8") if isinstance(value, bytes) else value for value in values]
