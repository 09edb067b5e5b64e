"""keras-hub text classifiers as teachers: its presets, and Hugging Face folders of DistilBERT and RoBERTa."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.errors import UserError
from power_bert.model.checkpoints.classification_head import check_problem_type, read_labels
from power_bert.model.checkpoints.location import fetch_preset
from power_bert.model.checkpoints.readers import open_safetensors
from power_bert.model.preset import load_weights
from power_bert.storage.json_object import read_json_object
from power_bert.text.augmentation import MASK
from power_bert.text.examples import Examples
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_files import read_tokenizer
from power_bert_runtime.padding import bucket_length, pad_batch
from power_bert_runtime.parsing import parsing

_BATCH_SIZE = 64
# Hugging Face model type → keras-hub task class, and its dense layers → weights of the head in the file.
_HEADS: dict[str, tuple[str, dict[str, str]]] = {
    "distilbert": (
        "DistilBertTextClassifier",
        {"pooled_dense": "pre_classifier", "output_dense": "classifier"},
    ),
    "roberta": (
        "RobertaTextClassifier",
        {"pooled_dense": "classifier.dense", "output_dense": "classifier.out_proj"},
    ),
}
_SEGMENT_EMBEDDINGS = "roberta.embeddings.token_type_embeddings.weight"
HUB_MODEL_TYPES = tuple(_HEADS)
# Hugging Face model types with BERT's WordPiece tokenizer.
_WORDPIECE_TYPES = ("distilbert",)


def find_hub_preset(name: str) -> Path | None:
    """Return the folder of a text classifier preset, downloaded if necessary; None if there is no such preset."""
    import keras_hub

    metadata = keras_hub.models.TextClassifier.presets.get(name)
    if not metadata or "kaggle_handle" not in metadata:
        return None
    return fetch_preset(str(metadata["kaggle_handle"]).removeprefix("kaggle://"))


class KerasHubModel:
    """Teacher model that wraps a keras-hub text classifier with its own preprocessor.

    Args:
        classifier: A `keras_hub.models.TextClassifier`. Its activation is removed, and its tokenizer set to read masks.
        labels: Names of the classes; None if unknown, because keras-hub stores none.
        source: Teacher as given by the user, for messages.
        wordpiece: Tokenizer that replaces keras-hub's, which lacks some of Hugging Face's settings; None keeps it.

    Raises:
        UserError: The classifier returns probabilities, and its activation cannot be removed.
    """

    def __init__(
        self,
        classifier: Any,
        labels: Sequence[str] | None,
        source: str,
        wordpiece: WordPieceTokenizer | None = None,
    ) -> None:
        self.classifier, self.labels, self._source = classifier, labels, source
        self._wordpiece = wordpiece
        self.num_outputs = int(classifier.num_classes)
        _end_in_logits(classifier, source)
        tokenizer = classifier.preprocessor.tokenizer
        self._reads_special_tokens = hasattr(tokenizer, "special_tokens_in_strings")
        self._mask_token = _mask_token(tokenizer) if wordpiece is None else wordpiece.settings.mask_token

    @classmethod
    def load(cls, folder: Path, max_length: int, source: str) -> KerasHubModel:
        """Load a preset folder, or the folder of a Hugging Face classifier.

        Args:
            folder: Folder with the files of the classifier.
            max_length: Max length in tokens, limited by the position embeddings of the classifier.
            source: Teacher as given by the user, for messages.

        Raises:
            UserError: The classifier cannot be loaded, or has no head or no tokenizer.
        """
        import keras_hub

        config = read_json_object(folder / "config.json")
        vocabulary = read_tokenizer(folder) if config.get("model_type") in _WORDPIECE_TYPES else None
        with parsing(f"teacher {source}: {folder}", "a text classifier that keras-hub can load"):
            if "model_type" in config:
                classifier, labels = _from_hugging_face(folder, config, source)
            elif not (folder / "task.json").is_file():
                raise UserError(f"teacher {source}: an encoder without a head; give a text classifier")
            else:
                # If the preset has no file for the head, keras-hub initializes it at random without a warning.
                classifier = keras_hub.models.TextClassifier.from_preset(str(folder), load_weights=False)
                load_weights(classifier, folder)
                labels = None
        if classifier.preprocessor is None:
            raise UserError(f"teacher {source}: no tokenizer in {folder}; save the classifier with its preprocessor")
        positions = getattr(classifier.backbone, "max_sequence_length", max_length)
        classifier.preprocessor.sequence_length = min(max_length, positions)
        return cls(classifier, labels, source, None if vocabulary is None else WordPieceTokenizer(vocabulary))

    def outputs(self, examples: Examples) -> np.ndarray:
        """Predict logits or scores, float32 (examples, outputs), in the order of the examples."""
        by_length = np.argsort([len(text) for text in examples.first], kind="stable")
        outputs = np.zeros((len(examples), self.num_outputs), np.float32)
        for start in range(0, len(examples), _BATCH_SIZE):
            rows = by_length[start : start + _BATCH_SIZE]
            outputs[rows] = self._batch_outputs(examples.take(rows))
        return outputs

    def _batch_outputs(self, examples: Examples) -> np.ndarray:
        columns = [examples.first] if examples.second is None else [examples.first, examples.second]
        masked = tuple([self._with_own_mask(text) for text in column] for column in columns)
        inputs = self._inputs(masked)
        mask = inputs["padding_mask"]
        length = bucket_length(int(mask.sum(axis=1).max(initial=1)), mask.shape[1])
        outputs = self.classifier({name: value[:, :length] for name, value in inputs.items()}, training=False)
        return np.asarray(ops.convert_to_numpy(outputs), np.float32)

    def _inputs(self, columns: tuple[list[str], ...]) -> dict[str, np.ndarray]:
        if self._wordpiece is None:
            texts: Any = columns if len(columns) > 1 else columns[0]
            return {name: np.asarray(value) for name, value in self.classifier.preprocessor(texts).items()}
        first, second = columns if len(columns) > 1 else (columns[0], None)
        encoded = self._wordpiece.encode(first, second, self.classifier.preprocessor.sequence_length)
        inputs = pad_batch(encoded, np.arange(len(encoded)), int(encoded.lengths.max()))
        return {name: inputs[name] for name in self.classifier.input}

    def _with_own_mask(self, text: str) -> str:
        """Replace the student's mask token in a text by that of this teacher's tokenizer."""
        if MASK not in text:
            return text
        if self._mask_token is None:
            raise UserError(
                f"teacher {self._source}: its tokenizer does not know {MASK} in a text; leave mask out of --augment"
            )
        if not self._reads_special_tokens:
            text = text.replace(f" {MASK}", MASK)  # RoBERTa's mask token includes the space before it
        return text.replace(MASK, self._mask_token)


def _end_in_logits(classifier: Any, source: str) -> None:
    """Remove the output activation of a classifier, which keras-hub lets users add."""
    if getattr(classifier, "activation", keras.activations.linear) is keras.activations.linear:
        return
    output = getattr(classifier, "output_dense", None)
    if output is None or output.activation is not classifier.activation:
        raise UserError(f"teacher {source}: gives probabilities; save the classifier without its activation")
    output.activation = classifier.activation = keras.activations.linear


def _mask_token(tokenizer: Any) -> str | None:
    """Return the mask token of a tokenizer; None if the tokenizer does not read it in a text as one token."""
    if hasattr(tokenizer, "special_tokens_in_strings"):
        tokenizer.special_tokens_in_strings = True
    token, index = getattr(tokenizer, "mask_token", None), getattr(tokenizer, "mask_token_id", None)
    if token is None or index is None:
        return None
    return token if np.asarray(tokenizer(token)).tolist() == [index] else None


def _from_hugging_face(folder: Path, config: dict[str, Any], source: str) -> tuple[Any, Sequence[str] | None]:
    """Load the encoder with keras-hub's converter, and the head's weights here: keras-hub leaves heads random."""
    import keras_hub

    task_name, parts = _HEADS[config["model_type"]]
    stored = open_safetensors(folder)
    names = [f"{part}.{kind}" for part in parts.values() for kind in ("weight", "bias")]
    if missing := [name for name in names if name not in stored.shapes]:
        raise UserError(f"teacher {source}: no head (no weight {missing[0]}); give a sequence classifier")
    num_outputs = stored.shapes[names[-1]][0]
    check_problem_type(config, num_outputs, folder / "config.json")
    classifier = getattr(keras_hub.models, task_name).from_preset(str(folder), num_classes=num_outputs)
    for layer, part in parts.items():
        dense = getattr(classifier, layer)
        dense.kernel.assign(stored.read_float32(f"{part}.weight").T)
        dense.bias.assign(stored.read_float32(f"{part}.bias"))
    if _SEGMENT_EMBEDDINGS in stored.shapes:
        # keras-hub's RoBERTa has no segments, and its converter drops their single embedding. Like the position
        # embedding, it is added to every token before the first layer norm.
        positions = classifier.backbone.embeddings.position_embedding.position_embeddings
        positions.assign_add(stored.read_float32(_SEGMENT_EMBEDDINGS)[:1])
    return classifier, read_labels(config, num_outputs, folder / "config.json")
