"""A model that evaluates and predicts, whatever runs it: Keras, or the runtime of an exported file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from power_bert.predict.example_predictor import ExamplePredictor
from power_bert.text.task import Task

if TYPE_CHECKING:
    from power_bert.runs.trained_model import TrainedModel


@dataclass(frozen=True)
class UsableModel:
    """A model and what is known of its use.

    Attributes:
        source: Where it lies.
        task: What it was trained for, or is asked for; None if nobody says.
        data_dir: Where the task's data lie; None if nobody says.
        retention: The retention configuration in force and whence it comes, for the user.
        predictor: What predicts.
    """

    source: str
    task: Task | None
    data_dir: str | None
    retention: str
    predictor: ExamplePredictor

    @classmethod
    def of(cls, model: TrainedModel | UsableModel) -> UsableModel:
        """Return a model of Keras with its predictor; another one as it is."""
        if isinstance(model, UsableModel):
            return model
        from power_bert.predict.predict_texts import Predictor  # imports Keras

        predictor = Predictor(model.classifier, model.max_length)
        return cls(model.source, model.task, model.data_dir, model.retention, predictor)
