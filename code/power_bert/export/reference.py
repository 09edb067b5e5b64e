"""Outputs of Keras for the examples on which exported files are compared, computed once for all forms of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.special import softmax

from power_bert.export.check_texts import own_check_texts, read_check_texts
from power_bert.export.parity import Parity, evenly_spaced
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.predict.predict_texts import Predictor
from power_bert.predict.rows_progress import rows_progress
from power_bert.runs.trained_model import TrainedModel, task_and_data
from power_bert.text.examples import Examples, read_examples
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.litert import predict_with_litert

_OWN_TEXTS = "this project"
# A length that few texts fit is checked on this many, the longer ones truncated: a handful of labels says nothing.
_FEWEST_TEXTS = 200


@dataclass(frozen=True)
class CheckSets:
    """Examples on which files are compared with Keras.

    Attributes:
        dev: Dev examples of the task.
        elsewhere: Texts from elsewhere, that is, not of the task.
        texts_source: Where these texts come from, for messages.
    """

    dev: Examples
    elsewhere: Examples
    texts_source: str

    @classmethod
    def of(cls, model: TrainedModel, check_texts: Path | None) -> CheckSets:
        """Read the examples.

        Args:
            model: Model to export, with a task and its data.
            check_texts: File with texts from elsewhere; None for the texts of this project.

        Raises:
            UserError: The data or the texts cannot be read.
        """
        task, data_dir = task_and_data(model)
        if check_texts is None:
            elsewhere, source = own_check_texts(task.is_pair), _OWN_TEXTS
        else:
            elsewhere, source = read_check_texts(check_texts, task.is_pair), check_texts.name
        dev = read_examples(task, "dev", data_dir)
        return cls(dev.take(evenly_spaced(len(dev))), elsewhere, source)

    def fitting(self, model: TrainedModel, length: int) -> CheckSets:
        """Return the texts of at most `length` tokens, or the `_FEWEST_TEXTS` shortest ones if those are more.

        A file for a shorter length serves only the texts that fit it; longer ones go to a file of a greater length.
        """
        return replace(self, dev=_shortest(self.dev, model, length), elsewhere=_shortest(self.elsewhere, model, length))


def _shortest(examples: Examples, model: TrainedModel, length: int) -> Examples:
    encoded = plain_tokenizer(model.classifier).encode(examples.first, examples.second, max(length, model.max_length))
    longest = max(length, *np.sort(encoded.lengths)[:_FEWEST_TEXTS])
    return examples.take(np.flatnonzero(encoded.lengths <= longest))


class Reference:
    """Outputs of Keras for inputs of one length.

    Args:
        model: Model to export.
        length: Max length of an example, in tokens.
        sets: Examples to compare on.
    """

    def __init__(self, model: TrainedModel, length: int, sets: CheckSets) -> None:
        self._task, _ = task_and_data(model)
        self._labels = np.asarray(sets.dev.labels)
        predictor, tokenizer = Predictor(model.classifier, length), plain_tokenizer(model.classifier)
        examples = (sets.dev, sets.elsewhere)
        self._outputs = [self._probabilities(predictor.outputs(of_set)) for of_set in examples]
        self._encoded = [tokenizer.encode(of_set.first, of_set.second, length) for of_set in examples]

    def _probabilities(self, outputs: np.ndarray) -> np.ndarray:
        return outputs if self._task.is_regression else softmax(outputs, axis=-1)

    def compare(self, file: bytes, signature: str, console: Console) -> Parity:
        """Compare one signature of a .tflite file with Keras."""
        with rows_progress(console, "comparing with Keras") as advance:
            return self.compare_outputs(lambda encoded: predict_with_litert(file, encoded, signature, advance))

    def compare_outputs(self, run: Callable[[EncodedTexts], np.ndarray]) -> Parity:
        """Compare a function of encoded examples to probabilities or scores, (examples, outputs), with Keras."""
        dev, elsewhere = zip(self._outputs, [run(encoded) for encoded in self._encoded], strict=True)
        return Parity.of(self._task, self._labels, dev, elsewhere)
