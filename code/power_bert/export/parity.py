"""Does an exported file say what the Keras model says? Checked at every export, by one principle for all of its forms.

A file takes the model's place, so it is held to the model, on dev examples that the model was not trained on:

1. **Label agreement**: at least `MIN_AGREEMENT` of the labels are those of Keras (of a regression: the correlation of
   the scores). A score alone would not do: a file can answer differently and be right as often.
2. **Dev score**: the task's first metric is at most `MAX_POINTS_LOST` points under that of Keras. Agreement alone would
   not do: on a rare class a few labels can cost the whole score.
3. Only in float32 (`none`), where nothing but the order of sums differs: the probabilities are equal within
   `MAX_DIFFERENCE`. This finds a faulty conversion that happens to turn no label.

`--min-agreement` replaces all three: whoever has seen what was measured may accept it.

The same agreement is measured on texts from elsewhere (`check_texts.tsv`, or `--check-texts`). Below `MIN_AGREEMENT`
that is a warning and never a refusal: such texts are no sample of what the model will be asked, but they show what the
dev set, which resembles the training data, hides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from power_bert.text.task import Task
from power_bert.train.metrics import compute_scores, format_agreement, format_scores, is_defined
from power_bert.train.predict import to_predictions

MIN_AGREEMENT = 0.985
MAX_POINTS_LOST = 0.5
MAX_DIFFERENCE = 1e-4
# 0.5 points may come out as 0.5000000000000004.
_ROUNDING = 1e-9
# Larger dev sets are checked on so many examples, evenly spaced.
MAX_EXAMPLES = 2000


@dataclass(frozen=True)
class Limits:
    """How far a file may be from Keras; None: no limit.

    Attributes:
        agreement: Smallest label agreement, a fraction.
        points_lost: Largest loss of the task's first metric, in points of 100.
        difference: Largest absolute difference of a probability, or of a regression's score.
    """

    agreement: float = MIN_AGREEMENT
    points_lost: float | None = MAX_POINTS_LOST
    difference: float | None = None

    @classmethod
    def of(cls, form: str, min_agreement: float | None = None) -> Limits:
        """Return the limits of a form of quantization, or those that the user has set instead.

        Args:
            form: "none", "float16", "dynamic" or "int8".
            min_agreement: Smallest label agreement, in percent; None keeps the usual limits.
        """
        if min_agreement is not None:
            return cls(agreement=min_agreement / 100, points_lost=None)
        return cls(difference=MAX_DIFFERENCE if form == "none" else None)


@dataclass(frozen=True)
class Agreement:
    """Outputs of a file beside those of Keras for the same texts.

    Attributes:
        texts: Number of them.
        share: Share of equal labels; for a regression the correlation of the scores, NaN where that is undefined.
        difference: Largest absolute difference of a probability, or of a score.
    """

    texts: int
    share: float
    difference: float

    @classmethod
    def of(cls, task: Task, keras_outputs: np.ndarray, outputs: np.ndarray) -> Agreement:
        """Compare probabilities or scores, (texts, outputs)."""
        keras, file = (to_predictions(task, of_one) for of_one in (keras_outputs, outputs))
        if task.is_regression and not np.array_equal(keras, file):
            constant = np.ptp(keras) == 0 or np.ptp(file) == 0
            share = np.nan if constant else stats.pearsonr(keras, file).statistic
        else:
            share = np.mean(keras == file)
        return cls(len(outputs), float(share), float(np.abs(keras_outputs - outputs).max()))


@dataclass(frozen=True)
class Parity:
    """A file beside the Keras model.

    Attributes:
        task: What the model does.
        dev: On dev examples.
        elsewhere: On texts from elsewhere.
        keras_scores: The task's metrics of the Keras model on the dev examples, fractions.
        scores: The task's metrics of the file.
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
        """Compare the outputs of both.

        Args:
            task: What the model does.
            labels: Of the dev examples, (examples,).
            dev: Probabilities or scores of Keras and of the file for the dev examples, (examples, outputs) each.
            elsewhere: The same for the texts from elsewhere.
        """
        keras_scores, scores = (compute_scores(task.metrics, labels, to_predictions(task, outputs)) for outputs in dev)
        return cls(task, Agreement.of(task, *dev), Agreement.of(task, *elsewhere), keras_scores, scores)

    @property
    def points_lost(self) -> float:
        """Points of 100 that the file loses in the task's first metric; NaN where that is undefined."""
        metric = self.task.metrics[0]
        return 100 * (self.keras_scores[metric] - self.scores[metric])

    def faults(self, limits: Limits) -> list[str]:
        """What is out of limits, in words; empty where all is well."""
        found = []
        if not self.dev.share >= limits.agreement - _ROUNDING:
            found.append(f"{self.agreement_text(self.dev)}, at least {100 * limits.agreement:g} % needed")
        lost = self.points_lost
        if limits.points_lost is not None and is_defined(lost) and lost > limits.points_lost + _ROUNDING:
            found.append(f"{lost:.2f} points of {self.task.metrics[0]} lost, at most {limits.points_lost:g} allowed")
        if limits.difference is not None and not self.dev.difference <= limits.difference:
            found.append(f"largest difference {self.dev.difference:.1e}, at most {limits.difference:.0e} allowed")
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
    """Positions of `at_most` of `examples` examples, or of all."""
    return np.unique(np.linspace(0, examples - 1, min(examples, at_most)).round().astype(np.int64))
