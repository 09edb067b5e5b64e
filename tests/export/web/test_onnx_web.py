"""ONNX Runtime Web, a client that this project did not write, gives the probabilities of the runtime package."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.tiny_runs import VOCABULARY
from power_bert_runtime import Classifier

pytestmark = pytest.mark.slow

NUM_TEXTS = 50


@pytest.mark.parametrize("task", ["cola", "mrpc"])
def test_same_labels(
    task: str,
    make_model: Callable[..., Any],
    export_server: Callable[..., str],
    browser: Path,
    node: str,
    site: Path,
    chromium: str,
    chromium_arguments: list[str],
    tmp_path: Path,
) -> None:
    model = tmp_path / "model.onnx"
    export_server(make_model(task, extraction="hard", retention=(0.6, 0.3)), model)
    classifier = Classifier(model)
    random = np.random.default_rng(0)

    def text() -> str:
        words = [token for token in VOCABULARY if token.isalpha()]
        return " ".join(random.choice(words, random.integers(1, 30)))

    texts = [(text(), text() if classifier.takes_pairs else None) for _ in range(NUM_TEXTS)]
    plan = {
        **{"chromium": chromium, "arguments": chromium_arguments, "model": str(model), "site": str(site)},
        **{"settings": classifier.metadata, "vocabulary": list(VOCABULARY), "texts": texts},
    }
    ended = subprocess.run(
        [node, str(browser / "run_onnx.mjs")],
        **{"input": json.dumps(plan), "capture_output": True, "text": True, "timeout": 300, "check": False},
    )
    assert ended.returncode == 0, ended.stderr
    found = np.array(json.loads(ended.stdout))
    inputs = [pair if classifier.takes_pairs else pair[0] for pair in texts]
    expected = classifier.run(classifier.encode(inputs))
    assert found.argmax(axis=1).tolist() == expected.argmax(axis=1).tolist()
    assert set(expected.argmax(axis=1)) == {0, 1}
    assert np.abs(found - expected).max() < 1e-5
