"""What Keras gives for the examples that exported files are compared on: computed once for all forms of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.special import softmax

from power_bert.export.check_texts import own_check_texts, read_check_texts
from power_bert.export.parity import Parity, evenly_spaced
from power_bert.export.runtime import predict_with_litert
from power_bert.model.pretrained import plain_tokenizer
from power_bert.text.examples import Examples, read_examples
from power_bert.train.predict import Predictor
from power_bert.train.rows_progress import rows_progress
from power_bert.train.trained_model import TrainedModel, task_and_data

_OWN_TEXTS = "this project"


@dataclass(frozen=True)
class CheckSets:
    """Examples to compare on.

    Attributes:
        dev: Dev examples of the task.
        elsewhere: Texts that the model was not trained for.
        texts_source: Where those come from, for the user.
    """

    dev: Examples
    elsewhere: Examples
    texts_source: str

    @classmethod
    def of(cls, model: TrainedModel, check_texts: Path | None) -> CheckSets:
        """Read the examples.

        Args:
            model: What is exported, with a task and its data.
            check_texts: File of the user with texts from elsewhere; None takes those of this project.

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


class Reference:
    """Keras' outputs for inputs of one length.

    Args:
        model: What is exported.
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
        """Compare one signature of a file with Keras."""
        with rows_progress(console, "comparing with Keras") as advance:
            outputs = [predict_with_litert(file, encoded, signature, advance) for encoded in self._encoded]
        dev, elsewhere = zip(self._outputs, outputs, strict=True)
        return Parity.of(self._task, self._labels, dev, elsewhere)
