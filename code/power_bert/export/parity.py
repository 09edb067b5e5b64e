"""Does an exported file say what the Keras model says? Checked on the dev set at every export."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from power_bert.text.task import Task
from power_bert.train.metrics import compute_scores, format_scores, is_defined
from power_bert.train.predict import to_predictions

# Larger dev sets are checked on so many examples, evenly spaced.
MAX_EXAMPLES = 2000


@dataclass(frozen=True)
class Tolerance:
    """How far a file may be from Keras.

    Attributes:
        difference: largest absolute difference of a probability (of the score, for a regression).
        agreement: smallest share of equal labels (correlation with Keras' scores, for a regression).
        points_lost: largest loss of the task's first metric, in points of 100.
    """

    difference: float | None = None
    agreement: float | None = None
    points_lost: float | None = None


TOLERANCES = {
    "none": Tolerance(difference=1e-4),
    "float16": Tolerance(agreement=0.995),
    "dynamic": Tolerance(agreement=0.995),
    "int8": Tolerance(agreement=0.985, points_lost=0.5),
}


@dataclass(frozen=True)
class Parity:
    """A file beside the Keras model on the same examples.

    Attributes:
        task: of the examples.
        examples: number of them.
        difference: largest absolute difference of a probability, or of a score.
        agreement: share of equal labels; for a regression the correlation of the scores.
        keras_scores: the task's metrics of the Keras model, fractions.
        litert_scores: the task's metrics of the file.
    """

    task: Task
    examples: int
    difference: float
    agreement: float
    keras_scores: dict[str, float]
    litert_scores: dict[str, float]

    @property
    def points_lost(self) -> float:
        """Points of 100 that the file loses in the task's first metric; NaN where that is undefined."""
        metric = self.task.metrics[0]
        return 100 * (self.keras_scores[metric] - self.litert_scores[metric])

    def faults(self, tolerance: Tolerance) -> list[str]:
        """What is out of tolerance, in words; empty where all is well."""
        found = []
        if tolerance.difference is not None and not self.difference <= tolerance.difference:
            found.append(f"largest difference {self.difference:.1e}, allowed {tolerance.difference:.0e}")
        if tolerance.agreement is not None and not self.agreement >= tolerance.agreement:
            found.append(f"{self._agreement_text}, needed {100 * tolerance.agreement:g} %")
        lost = self.points_lost
        if tolerance.points_lost is not None and is_defined(lost) and lost > tolerance.points_lost:
            found.append(f"{lost:.2f} points lost, allowed {tolerance.points_lost:g}")
        return found

    def __str__(self) -> str:
        what = "scores" if self.task.is_regression else "probabilities"
        return (
            f"{self.examples} dev examples: largest difference of {what} {self.difference:.1e}, "
            f"{self._agreement_text}; Keras {format_scores(self.keras_scores)}, "
            f"LiteRT {format_scores(self.litert_scores)}"
        )

    @property
    def _agreement_text(self) -> str:
        return f"{100 * self.agreement:.2f} % {'correlation' if self.task.is_regression else 'equal labels'}"


def evenly_spaced(examples: int, at_most: int = MAX_EXAMPLES) -> np.ndarray:
    """Positions of `at_most` of `examples` examples, or of all."""
    return np.unique(np.linspace(0, examples - 1, min(examples, at_most)).round().astype(np.int64))


def compare(task: Task, labels: np.ndarray, keras_outputs: np.ndarray, litert_outputs: np.ndarray) -> Parity:
    """Compare the outputs of both.

    Args:
        task: of the examples.
        labels: (examples,).
        keras_outputs: probabilities or scores, (examples, outputs).
        litert_outputs: likewise.
    """
    predictions = [to_predictions(task, outputs) for outputs in (keras_outputs, litert_outputs)]
    return Parity(
        task=task,
        examples=len(labels),
        difference=float(np.abs(keras_outputs - litert_outputs).max()),
        agreement=_agreement(task, *predictions),
        keras_scores=compute_scores(task.metrics, labels, predictions[0]),
        litert_scores=compute_scores(task.metrics, labels, predictions[1]),
    )


def _agreement(task: Task, keras: np.ndarray, litert: np.ndarray) -> float:
    if not task.is_regression or np.array_equal(keras, litert):
        return float(np.mean(keras == litert))
    return float(stats.pearsonr(keras, litert).statistic)
