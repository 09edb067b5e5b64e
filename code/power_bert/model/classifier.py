"""Text classifier (or regressor) as a keras-hub task, on any encoder of the project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import keras
import keras_hub
import numpy as np
from keras import ops
from keras_hub.src.utils.pipeline_model import _contains_string_data

from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints.classification_head import has_classification_head, read_classification_head
from power_bert.model.checkpoints.location import checkpoint_kind, is_own_preset, locate_checkpoint
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor
from power_bert.model.preset import TaskPreset
from power_bert.model.pretrained import check_max_length, load_pretrained
from power_bert.model.text_backbone import TextBackbone
from power_bert.storage.json_object import read_json_object

_HAS_STATE = "optimizer_has_state"
# Max length of a classifier on a checkpoint that does not state one.
_USUAL_MAX_LENGTH = 128


class LabelPredictions(NamedTuple):
    """Predicted classes of some texts.

    Attributes:
        labels: Name of the most probable class of each text, (texts,).
        probabilities: Probability of each class, float32 (texts, classes).
    """

    labels: list[str]
    probabilities: np.ndarray


@keras.saving.register_keras_serializable(package="power_bert")
class PowerBertTextClassifier(TaskPreset, keras_hub.models.TextClassifier):
    """Classifier on the pooled output of a `PowerBertBackbone` or of a student's backbone: dropout, then a dense layer.

    `fit`, `evaluate` and `predict` take raw strings (or a tuple of two lists for pairs), or the three arrays that the
    backbone takes. The output is the logits (batch, num_classes), or the predicted score (batch, 1). A backbone that
    computes the logits itself gets no dense layer, and `output_dense` is then None.

    Args:
        backbone: Encoder.
        num_classes: Number of classes; 1 makes it a regressor with a squared-error loss.
        preprocessor: Preprocessor of raw strings; None if only arrays are fed.
        labels: Names of the classes, saved with the model.
        dropout: Dropout rate of the pooled output.
    """

    backbone_cls: type[TextBackbone] = PowerBertBackbone
    preprocessor_cls = PowerBertTextClassifierPreprocessor

    def __init__(
        self,
        backbone: TextBackbone,
        num_classes: int,
        preprocessor: PowerBertTextClassifierPreprocessor | None = None,
        labels: Sequence[str] | None = None,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        if labels is not None and len(labels) != num_classes:
            raise ValueError(f"{len(labels)} labels for num_classes={num_classes}")
        if not all(isinstance(label, str) for label in labels or ()):
            raise ValueError(f"labels={labels!r}: expected texts")
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.output_dropout: Any = None
        self.output_dense: Any = None
        if not backbone.gives_logits:
            self.output_dropout = keras.layers.Dropout(dropout, dtype=backbone.dtype_policy, name="output_dropout")
            self.output_dense = keras.layers.Dense(
                num_classes,
                kernel_initializer=keras.initializers.TruncatedNormal(stddev=backbone.initializer_range),
                dtype="float32",  # losses and probabilities are computed in full precision
                name="logits",
            )

        # === Functional Model ===
        inputs = backbone.input
        outputs = self.logits_of(backbone(inputs)["pooled_output"])
        if outputs.shape[-1] != num_classes:
            raise ValueError(f"the backbone gives {outputs.shape[-1]} logits for num_classes={num_classes}")
        # === Config ===  (before super().__init__, which compiles with the loss that num_classes asks for)
        self.num_classes, self.dropout = num_classes, dropout
        self.labels = None if labels is None else tuple(labels)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

    def logits_of(self, pooled_output: Any, training: bool | None = None) -> Any:
        """Apply the head: pooled output (batch, hidden) → logits, float32 (batch, classes)."""
        if self.output_dense is None:
            return ops.cast(pooled_output, "float32")
        return self.output_dense(self.output_dropout(pooled_output, training=training))

    @classmethod
    def from_preset(
        cls,
        preset: str,
        load_weights: bool = True,
        num_classes: int | None = None,
        labels: Sequence[str] | None = None,
        sequence_length: int | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a trained classifier, or put a new head on a pretrained encoder.

        Args:
            preset: A run (its folder) or the folder of one of its phases; a preset of this project; a Hugging Face
                folder or ``hf://owner/name``; a TF1 checkpoint of Google's BERT; a preset of keras-hub's BERT.
            load_weights: False gives the architecture of a preset of this project with random weights.
            num_classes: Number of classes of a new, random head; 1 for a regressor. None keeps the head of a trained
                classifier.
            labels: Names of the classes of a new head; without `num_classes`, their number decides.
            sequence_length: Max length in tokens; None takes that of the preset, or 128 if it has none.
            kwargs: Further arguments of the constructor, such as `dropout`.

        Raises:
            UserError: A file is missing, damaged or no BERT, or there is neither a trained nor a new head.

        Example:
            >>> classifier = power_bert.PowerBertTextClassifier.from_preset("my-bert", labels=["ham", "spam"])
            >>> classifier.num_classes, classifier.labels
            (2, ('ham', 'spam'))
        """
        location = locate_checkpoint(preset)
        if num_classes is None and labels is not None:
            num_classes = len(labels)
        if num_classes is None and not _has_head(location):
            raise UserError(
                f"{location}: an encoder without a classification head, which can predict nothing before it is "
                "trained. Give num_classes or labels in Python, or CHECKPOINT_PATH to `bash run.sh`"
            )
        if not is_own_preset(location):
            if not load_weights:
                raise ValueError(f"load_weights=False is for presets of this project, and {preset} is none")
            return cls._on_checkpoint(location, num_classes, labels, sequence_length, **kwargs)
        new_head = {} if num_classes is None else {"num_classes": num_classes, "labels": labels}
        classifier = super().from_preset(str(location), load_weights=load_weights, **new_head, **kwargs)
        if sequence_length is not None and classifier.preprocessor is not None:
            check_max_length(sequence_length, classifier.backbone)
            classifier.preprocessor.sequence_length = sequence_length
        return classifier

    @classmethod
    def _on_checkpoint(
        cls,
        location: Path,
        num_classes: int | None,
        labels: Sequence[str] | None,
        sequence_length: int | None,
        **kwargs: Any,
    ) -> Self:
        """Load a Hugging Face sequence classifier, or put a new head on the encoder of any checkpoint."""
        pretrained, head = load_pretrained(str(location)), None
        encoder = pretrained.backbone
        if num_classes is None:
            head = read_classification_head(location)
            if pretrained.random_weights:
                raise UserError(
                    f"{location}: has a head, but no {', '.join(pretrained.random_weights)}, so its predictions would "
                    "be random; use the whole checkpoint of the classifier, or train from this one as an encoder"
                )
            if len(head.kernel) != encoder.hidden_dim:
                raise UserError(
                    f"{location}: the head wants {len(head.kernel)} dims, but the encoder has {encoder.hidden_dim}"
                )
            num_classes, labels = len(head.bias), head.labels
        length = sequence_length or min(_USUAL_MAX_LENGTH, encoder.max_sequence_length)
        check_max_length(length, encoder)
        preprocessor = PowerBertTextClassifierPreprocessor(pretrained.tokenizer, length)
        classifier = cls(encoder, num_classes, preprocessor, labels, **kwargs)
        if head is not None:
            classifier.output_dense.kernel.assign(head.kernel)
            classifier.output_dense.bias.assign(head.bias)
        return classifier

    def predict_labels(self, texts: Any, batch_size: int = 32) -> LabelPredictions:
        """Predict the class of each text.

        Texts of about the same length share a batch, so that short ones are not padded to the longest of all.

        Args:
            texts: Texts, or a tuple of two lists for pairs.
            batch_size: Number of texts predicted at a time.

        Returns:
            Names and probabilities, in the order of the texts; classes without a name are called "0", "1", …

        Raises:
            ValueError: The model is a regressor, whose scores `predict` gives.

        Example:
            >>> labels, probabilities = classifier.predict_labels(["win a prize now", "see you at lunch"])
            >>> len(labels), probabilities.shape
            (2, (2, 2))
        """
        if self.is_regressor:
            raise ValueError("a regressor has no labels; `predict` gives its scores")
        parts = [list(part) for part in (texts if isinstance(texts, tuple) else (texts,))]
        order = np.argsort([sum(map(len, text)) for text in zip(*parts, strict=True)], kind="stable")
        probabilities = np.zeros((len(order), self.num_classes), "float32")
        if len(order):
            ordered = tuple([part[row] for row in order] for part in parts)
            logits = self.predict(ordered if len(parts) == 2 else ordered[0], batch_size, verbose=0)
            probabilities[order] = ops.convert_to_numpy(ops.softmax(logits))
        names = self.labels or [str(index) for index in range(self.num_classes)]
        return LabelPredictions([names[index] for index in probabilities.argmax(-1)], probabilities)

    def class_indices(self, names: Sequence[str]) -> np.ndarray:
        """Return the index of each class name, int32 (names,): the `y` of `fit` and `evaluate`.

        Raises:
            ValueError: The classes have no names, or one of `names` is not among them.

        Example:
            >>> classifier.class_indices(["spam", "ham"])
            array([1, 0], dtype=int32)
        """
        if self.labels is None:
            raise ValueError("the classes have no names; give `labels` to the constructor or to `from_preset`")
        indices = {label: index for index, label in enumerate(self.labels)}
        if unknown := sorted(set(names) - indices.keys()):
            raise ValueError(f"{unknown[0]!r} is none of the labels {', '.join(self.labels)}")
        return np.array([indices[name] for name in names], "int32")

    @property
    def output_bias(self) -> keras.Variable:
        """Bias of the logits (or of the score)."""
        return self.backbone.output_bias if self.output_dense is None else self.output_dense.bias

    @property
    def is_regressor(self) -> bool:
        return self.num_classes == 1

    def compile(self, optimizer: Any = "auto", loss: Any = "auto", *, metrics: Any = "auto", **kwargs: Any) -> None:
        """Compile as keras-hub's text classifiers do; "auto" is squared error for a regressor, else cross-entropy."""
        if self.is_regressor:
            loss = keras.losses.MeanSquaredError() if loss == "auto" else loss
            metrics = [] if metrics == "auto" else metrics
        if keras.backend.backend() == "tensorflow":
            # XLA would compile the training step anew for each length of a batch, a minute each.
            kwargs.setdefault("jit_compile", False)
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as the saved model was, so that a ``.keras`` file keeps its optimizer."""
        has_state = config.get(_HAS_STATE)
        self.compile(**keras.saving.deserialize_keras_object({key: config[key] for key in config if key != _HAS_STATE}))
        if has_state:
            self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_compile_config()
        # Before the first training step the optimizer has no state, and Keras would warn that it does not fit.
        return {**config, _HAS_STATE: self.optimizer.built} if config else config

    def fit(self, x: Any = None, y: Any = None, shuffle: bool = True, **kwargs: Any) -> Any:
        """Train as Keras does; keras-hub leaves texts in their order, so they are shuffled here, once.

        Args:
            x: Texts, a tuple of two lists for pairs, the arrays of the backbone, or a dataset of batches.
            y: Class indices or scores, (examples,); None for a dataset.
            shuffle: Whether to shuffle; datasets keep their order.
            kwargs: Further arguments of `keras.Model.fit`.

        Example:
            >>> history = classifier.fit(texts, classifier.class_indices(labels), epochs=1, verbose=0)
        """
        if y is not None and shuffle:
            # Keras splits the last examples off for validation before it shuffles.
            rows = np.arange(len(y))
            in_training = rows[: int(len(y) * (1 - (kwargs.get("validation_split") or 0)))]
            np.random.shuffle(in_training)
            x, y, kwargs["sample_weight"] = (_take(data, rows) for data in (x, y, kwargs.get("sample_weight")))
        return super().fit(x, y, shuffle=False, **kwargs)

    def preprocess_samples(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        if _contains_string_data(y):
            raise ValueError("the labels are texts; give class indices, which `class_indices` makes of names")
        if _contains_string_data(x):
            return super().preprocess_samples(x, y, sample_weight)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "labels": self.labels,
            "dropout": self.dropout,
        }


def _has_head(location: Path) -> bool:
    """Return whether a checkpoint holds a classification head."""
    if is_own_preset(location):
        task = location / "task.json"
        return task.is_file() and "num_classes" in read_json_object(task).get("config", {})
    return checkpoint_kind(location) == "hugging_face" and has_classification_head(location)


def _take(data: Any, rows: np.ndarray) -> Any:
    """Return the examples at these positions of a list, an array, or a tuple or dict of them; None stays."""
    if data is None:
        return None
    if isinstance(data, tuple):
        return tuple(_take(part, rows) for part in data)
    if isinstance(data, dict):
        return {name: _take(part, rows) for name, part in data.items()}
    return [data[row] for row in rows] if isinstance(data, list) else np.asarray(data)[rows]
