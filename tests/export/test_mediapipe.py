"""MediaPipe's TextClassifier opens an exported file, tokenizes raw texts itself, and says what Keras says."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
PROJECT_ROOT = HERE.parents[1]
VENV = PROJECT_ROOT / ".venv-mediapipe"
ADVICE = f"python3 -m venv {VENV.name} && {VENV.name}/bin/pip install -r tests/export/requirements-mediapipe.txt"
# As the tokenizers of both see them alike: see docs/phones.md.
TEXTS = ["The cat sat.", "a big dog ran, not the mouse.", "House!", "zzz the tree saw a house " + 20 * "big "]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def classify() -> Callable[[Path], list[dict[str, float]]]:
    """Label → score of every text, by MediaPipe, which has an environment of its own."""
    python = VENV / "bin" / "python"
    if importlib.util.find_spec("mediapipe"):
        python = Path(sys.executable)
    elif not python.exists():
        reason = f"MediaPipe is not installed: {ADVICE}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    def run(model: Path) -> list[dict[str, float]]:
        command = [str(python), str(HERE / "mediapipe_classify.py"), str(model)]
        ended = subprocess.run(command, input=json.dumps(TEXTS), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        results: list[dict[str, float]] = json.loads(ended.stdout.splitlines()[-1])
        return results

    return run


@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8"])
def test_labels_and_scores_are_those_of_keras(
    make_model: Callable[..., Any], classify: Callable[[Path], list[dict[str, float]]], tmp_path: Path, quantize: str
) -> None:
    import keras
    from rich.console import Console

    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export

    model = make_model(extraction="hard", retention=(0.7, 0.4))
    path = tmp_path / "model.tflite"
    export(model, path, ExportOptions(quantize=quantize, labels=("wrong", "right")), Console(quiet=True))
    expected = np.asarray(keras.ops.softmax(model.classifier.predict(TEXTS, verbose=0)))
    found = classify(path)
    assert [max(scores, key=scores.__getitem__) for scores in found] == [
        ("wrong", "right")[label] for label in expected.argmax(axis=-1)
    ]
    differences = [abs(scores["right"] - row[1]) for scores, row in zip(found, expected, strict=True)]
    assert max(differences) < (1e-4 if quantize == "none" else 0.1)


def test_a_file_with_several_signatures_is_why_lengths_are_sibling_files(
    make_model: Callable[..., Any], classify: Callable[[Path], list[dict[str, float]]], tmp_path: Path
) -> None:
    """When MediaPipe takes such a file, `--one-file` can become the usual form."""
    from rich.console import Console

    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export

    path = tmp_path / "model.tflite"
    export(make_model(), path, ExportOptions(lengths=(8, 21), one_file=True), Console(quiet=True))
    with pytest.raises(AssertionError, match="single subgraph"):
        classify(path)


def test_a_file_whose_tokenizer_it_cannot_express_is_refused(
    make_model: Callable[..., Any], classify: Callable[[Path], list[dict[str, float]]], tmp_path: Path
) -> None:
    """It would lowercase text for a cased vocabulary."""
    from rich.console import Console

    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export
    from power_bert.model.preprocessor import PowerBertTokenizer

    model, path = make_model(), tmp_path / "model.tflite"
    vocabulary = model.classifier.preprocessor.tokenizer.get_vocabulary()
    model.classifier.preprocessor.tokenizer = PowerBertTokenizer(vocabulary, lowercase=False)
    export(model, path, ExportOptions(), Console(quiet=True))
    with pytest.raises(AssertionError, match="input process unit"):
        classify(path)
