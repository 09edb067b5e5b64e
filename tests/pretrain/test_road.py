"""From raw text to a fine-tuned classifier, every step a command of run.sh, as a user goes it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

WORDS = ("the", "cat", "dog", "mouse", "sat", "ran", "saw", "on", "under", "mat", "house", "tree", "not", "very")


@pytest.fixture(scope="module")
def run_sh(project_root: Path) -> Callable[..., str]:
    """Calls run.sh with the environment that these tests run in; returns what it prints."""
    if not (Path(sys.prefix) / "power-bert-installed").is_file():
        pytest.skip("needs an environment that run.sh has made: bash run.sh test --all")

    def call(*arguments: str, **settings: str) -> str:
        environment = {**os.environ, "POWER_BERT_VENV": sys.prefix, **settings}
        command = ["bash", str(project_root / "run.sh"), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    return call


@pytest.fixture(scope="module")
def road(run_sh: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text, vocabulary, corpus, a pre-training with Gaussian attention, and a task."""
    folder = tmp_path_factory.mktemp("road")
    generator = np.random.default_rng(0)
    lines = [" ".join(generator.choice(WORDS, 8)) + "." for _ in range(600)]
    documents = ["\n".join(lines[start : start + 5]) for start in range(0, 600, 5)]
    (folder / "books.txt").write_text("\n\n".join(documents), encoding="utf-8")
    text, vocabulary, corpus = (str(folder / name) for name in ("books.txt", "vocab.txt", "corpus"))
    split = ("--test-share", "0.2")
    run_sh("train-vocab", text, "--size", "60", *split, "--out", vocabulary)
    run_sh("prepare-corpus", text, "--vocab", vocabulary, *split, "--length", "16", "--out", corpus)
    sizes = ("--layers", "1", "--hidden", "8", "--heads", "2", "--batch", "8", "--steps", "6", "--interval", "3")
    run_sh("pretrain", "--corpus", corpus, *sizes, "--similarity", "gaussian", "--out", str(folder / "pretrained"))
    (folder / "CoLA").mkdir()
    rows = "".join(f"x\t{number % 2}\t\tthe {'cat' if number % 2 else 'ran'} {number}.\n" for number in range(12))
    for name in ("train.tsv", "dev.tsv"):
        (folder / "CoLA" / name).write_text(rows, encoding="utf-8")
    (folder / "CoLA" / "test.tsv").write_text("index\tsentence\n0\tthe cat\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("form", "similarity"), [("model", "gaussian"), ("hugging_face", "dot"), ("tf1/bert_model.ckpt", "dot")]
)
def test_every_form_goes_into_run_sh(form: str, similarity: str, road: Path, run_sh: Callable[..., str]) -> None:
    """Without SIMILARITY the fine-tuning has that of the checkpoint; other forms know dot-product attention alone."""
    out = road / form.replace("/", "_")
    run_sh(
        *("run", "--fine-tune-only"),
        TASK="cola",
        DATA_DIR=str(road / "CoLA"),
        CHECKPOINT_PATH=str(road / "pretrained" / form),
        OUTPUT_DIR=str(out),
        MAX_LENGTH="12",
        EPOCH="1",
        BATCH_SIZE="4",
    )
    assert json.loads((out / "config.json").read_text())["similarity"] == similarity
    stored = json.loads((out / "1_fine_tune" / "model" / "config.json").read_text())["config"]
    assert (stored["similarity"], stored["hidden_dim"]) == (similarity, 8)
    assert (out / "1_fine_tune" / "predictions_test.tsv").read_text().startswith("index\tprediction\n")
