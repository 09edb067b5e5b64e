"""Every classifier of the package, on every backbone, goes through one harness; none is forgotten."""

from pathlib import Path
from typing import Any

import pytest

from fixtures.tiny_models import MODES
from model_harness import LABELS, check_precision, run_model_test
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.model.students.build_student import KINDS
from power_bert.model.text_backbone import TextBackbone

SIMILARITIES = ("dot", "cosine", "euclidean", "gaussian")
# Every form of extraction and every similarity.
ENCODERS = {
    f"{mode}-{SIMILARITIES[number % 4]}": {**arguments, "similarity": SIMILARITIES[number % 4]}
    for number, (mode, arguments) in enumerate(MODES.items())
}
STUDENTS = ("bert-2x12", "bilstm", "cnn", "ensemble", "linear", "mlp")


@pytest.fixture
def make_classifier(make_backbone: Any, make_student: Any, vocabulary: list[str], randomize: Any) -> Any:
    def make(name: str) -> PowerBertTextClassifier:
        if name in STUDENTS:
            return make_student(name)  # type: ignore[no-any-return]
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(vocabulary), sequence_length=9)
        backbone = make_backbone(activation="relu", **ENCODERS[name])
        return randomize(PowerBertTextClassifier(backbone, 3, preprocessor, LABELS, 0.2))  # type: ignore[no-any-return]

    return make


@pytest.mark.parametrize("name", [*ENCODERS, *STUDENTS])
def test_classifier(name: str, make_classifier: Any, make_inputs: Any, tmp_path: Path) -> None:
    classifier = make_classifier(name)
    if name != "ensemble":  # its members have a precision each
        check_precision(classifier.backbone, make_inputs())
    run_model_test(classifier, make_inputs, tmp_path)


def test_no_backbone_is_left_out() -> None:
    assert set(KINDS) - {name.partition("-")[0] for name in STUDENTS} == set()
    backbones = {each for each in TextBackbone.__subclasses__() if each.__module__.startswith("power_bert.")}
    assert {each.__name__ for each in backbones} - {backbone.__name__ for backbone, _ in KINDS.values()} == {
        "EnsembleBackbone"
    }
