"""Comparison of an exported file with the Keras model, by the same limits for all forms and at every export.

A file takes the model's place, so it is compared with the model, on dev examples that the model was not trained on:

1. **Label agreement**: at least `MIN_AGREEMENT` of the labels equal those of Keras (for a regression: the correlation
   of the scores). The dev score alone is not enough: a file can predict other labels and be right as often.
2. **Dev score**: the task's first metric is at most `MAX_POINTS_LOST` points below that of Keras. Label agreement alone
   is not enough: on a rare class a few labels can cost the whole score.
3. **Probabilities**, in float32 (`none`) only, where nothing but the order of summation differs: equal within
   `MAX_DIFFERENCE`. This finds a faulty conversion that happens to change no label. If the model eliminates tokens,
   `MAX_TIES` of the examples may differ more: rounding can turn a choice between two tokens of equal significance.

`--min-agreement` replaces all three, for users who accept what was measured.

The label agreement is also measured on texts from elsewhere (`check_texts.tsv`, or `--check-texts`). There a value
below `MIN_AGREEMENT` only gives a warning: these texts are not a sample of the model's use, but they show differences
that the dev set hides, because it resembles the training data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from power_bert.predict.example_predictor import to_predictions
from power_bert.predict.metrics import compute_scores, format_agreement, format_scores, is_defined
from power_bert.text.task import Task

MIN_AGREEMENT = 0.985
MAX_POINTS_LOST = 0.5
MAX_DIFFERENCE = 1e-4
MAX_TIES = 0.01
# In floating point, a loss of 0.5 points can be 0.5000000000000004.
_ROUNDING = 1e-9
# Larger dev sets are checked on this many examples, evenly spaced.
MAX_EXAMPLES = 2000


@dataclass(frozen=True)
class Limits:
    """Largest accepted differences between a file and Keras; None means no limit.

    Attributes:
        agreement: Smallest label agreement, a fraction.
        points_lost: Largest loss of the task's first metric, in points of 100.
        differing: Largest fraction of examples with a probability, or score, that differs by more than
            `MAX_DIFFERENCE`.
    """

    agreement: float = MIN_AGREEMENT
    points_lost: float | None = MAX_POINTS_LOST
    differing: float | None = None

    @classmethod
    def of(cls, form: str, min_agreement: float | None = None, eliminates: bool = False) -> Limits:
        """Return the limits of a form of quantization, or those that the user has set instead.

        Args:
            form: "none", "float16", "dynamic" or "int8".
            min_agreement: Smallest label agreement, in percent; None for the default limits.
            eliminates: Whether the model eliminates tokens.
        """
        if min_agreement is not None:
            return cls(agreement=min_agreement / 100, points_lost=None)
        if form != "none":
            return cls()
        return cls(differing=MAX_TIES if eliminates else 0.0)


@dataclass(frozen=True)
class Agreement:
    """Agreement of a file's outputs with those of Keras for the same texts.

    Attributes:
        texts: Number of texts.
        share: Fraction of equal labels; for a regression the correlation of the scores, NaN if that is undefined.
        difference: Largest absolute difference of a probability, or of a score.
        differing: Fraction of texts with a difference above `MAX_DIFFERENCE`.
    """

    texts: int
    share: float
    difference: float
    differing: float

    @classmethod
    def of(cls, task: Task, keras_outputs: np.ndarray, outputs: np.ndarray) -> Agreement:
        """Compare probabilities or scores, (texts, outputs) each."""
        keras, file = (to_predictions(task, of_one) for of_one in (keras_outputs, outputs))
        if task.is_regression and not np.array_equal(keras, file):
            constant = np.ptp(keras) == 0 or np.ptp(file) == 0
            share = np.nan if constant else stats.pearsonr(keras, file).statistic
        else:
            share = np.mean(keras == file)
        differences = np.abs(keras_outputs - outputs).max(axis=1)  # (texts,)
        differing = 1.0 - np.mean(differences <= MAX_DIFFERENCE)  # NaN differs
        return cls(len(outputs), float(share), float(differences.max()), float(differing))


@dataclass(frozen=True)
class Parity:
    """Comparison of a file with the Keras model.

    Attributes:
        task: Task of the model.
        dev: Agreement on dev examples.
        elsewhere: Agreement on texts from elsewhere.
        keras_scores: Metric → dev score of the Keras model, a fraction.
        scores: Metric → dev score of the file, a fraction.
    """

    task: Task
    dev: Agreement
    elsewhere: Agreement
    keras_scores: dict[str, float]
    scores: dict[str, float]

    @classmethod
    def of(
        cls,
        task: Task,
        labels: np.ndarray,
        dev: tuple[np.ndarray, np.ndarray],
        elsewhere: tuple[np.ndarray, np.ndarray],
    ) -> Parity:
        """Compare the outputs of Keras and of a file.

        Args:
            task: Task of the model.
            labels: Labels of the dev examples, (examples,).
            dev: Probabilities or scores of Keras and of the file for the dev examples, (examples, outputs) each.
            elsewhere: Probabilities or scores of both for the texts from elsewhere, (texts, outputs) each.
        """
        keras_scores, scores = (compute_scores(task.metrics, labels, to_predictions(task, outputs)) for outputs in dev)
        return cls(task, Agreement.of(task, *dev), Agreement.of(task, *elsewhere), keras_scores, scores)

    @property
    def points_lost(self) -> float:
        """Points of 100 that the file loses in the task's first metric; NaN if that is undefined."""
        metric = self.task.metrics[0]
        return 100 * (self.keras_scores[metric] - self.scores[metric])

    def faults(self, limits: Limits) -> list[str]:
        """Return descriptions of what exceeds the limits; empty if nothing does."""
        found = []
        if not self.dev.share >= limits.agreement - _ROUNDING:
            found.append(f"{self.agreement_text(self.dev)}, at least {100 * limits.agreement:g} % needed")
        lost = self.points_lost
        if limits.points_lost is not None and is_defined(lost) and lost > limits.points_lost + _ROUNDING:
            found.append(f"{lost:.2f} points of {self.task.metrics[0]} lost, at most {limits.points_lost:g} allowed")
        if limits.differing is not None and self.dev.differing > limits.differing + _ROUNDING:
            found.append(
                f"largest difference {self.dev.difference:.1e}, at most {MAX_DIFFERENCE:.0e} allowed"
                + (f" but in {100 * limits.differing:g} % of the examples" if limits.differing else "")
            )
        return found

    def agreement_text(self, agreement: Agreement) -> str:
        return format_agreement(agreement.share, self.task.is_regression)

    def __str__(self) -> str:
        what = "scores" if self.task.is_regression else "probabilities"
        return (
            f"{self.agreement_text(self.dev)} on {self.dev.texts} dev examples, "
            f"{format_scores(self.scores)} (Keras {format_scores(self.keras_scores)}), "
            f"largest difference of {what} {self.dev.difference:.1e}; "
            f"{self.agreement_text(self.elsewhere)} on {self.elsewhere.texts} texts from elsewhere"
        )


def evenly_spaced(examples: int, at_most: int = MAX_EXAMPLES) -> np.ndarray:
    """Return the positions of `at_most` examples out of `examples`, or of all if there are fewer."""
    return np.unique(np.linspace(0, examples - 1, min(examples, at_most)).round().astype(np.int64))
