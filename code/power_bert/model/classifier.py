"""The text classifier (or regressor) as a keras-hub task, on any encoder of the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import keras_hub
from keras import ops
from keras_hub.src.utils.pipeline_model import _contains_string_data

from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor
from power_bert.model.preset import WholePreset
from power_bert.model.text_backbone import TextBackbone


@keras.saving.register_keras_serializable(package="power_bert")
class PowerBertTextClassifier(WholePreset, keras_hub.models.TextClassifier):
    """A `PowerBertBackbone`, or a student's backbone, with dropout and one dense layer on the pooled output.

    `fit`, `evaluate` and `predict` take raw strings (or a tuple of two lists for pairs) and also the three arrays
    that the backbone takes. A backbone that gives the logits itself gets no dense layer: `output_dense` is then None.

    Args:
        backbone: the encoder.
        num_classes: classes; 1 makes it a regressor with a squared-error loss.
        preprocessor: for raw strings; None where only arrays are fed.
        labels: names of the classes, kept with the model.
        dropout: rate on the pooled output.

    Outputs logits (batch, num_classes), or the predicted score (batch, 1).
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
        """The head: pooled output (batch, hidden) → logits, float32 (batch, classes)."""
        if self.output_dense is None:
            return ops.cast(pooled_output, "float32")
        return self.output_dense(self.output_dropout(pooled_output, training=training))

    @property
    def output_bias(self) -> keras.Variable:
        """Bias of the logits (or of the score)."""
        return self.backbone.output_bias if self.output_dense is None else self.output_dense.bias

    @property
    def is_regressor(self) -> bool:
        return self.num_classes == 1

    def compile(self, optimizer: Any = "auto", loss: Any = "auto", *, metrics: Any = "auto", **kwargs: Any) -> None:
        """As keras-hub's text classifiers; "auto" is squared error for a regressor, else cross-entropy of logits."""
        if self.is_regressor:
            loss = keras.losses.MeanSquaredError() if loss == "auto" else loss
            metrics = [] if metrics == "auto" else metrics
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def preprocess_samples(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        if _contains_string_data(x):
            return super().preprocess_samples(x, y, sample_weight)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    # A preset holds the model, not the optimizer's two further copies of it.
    def _not_in_task_weights(self) -> list[Any]:
        return [*self.backbone._flatten_layers(), self.optimizer]

    def save_task_weights(self, filepath: str) -> None:
        keras.saving.save_weights(self, filepath, objects_to_skip=self._not_in_task_weights())

    def load_task_weights(self, filepath: str) -> None:
        keras.saving.load_weights(self, filepath, objects_to_skip=self._not_in_task_weights())

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "labels": self.labels,
            "dropout": self.dropout,
        }
