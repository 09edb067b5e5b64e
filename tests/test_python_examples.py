"""The examples of docs/python.md and of the public names run as they stand, and Keras imports without noise."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import power_bert
from fixtures.tiny_runs import VOCABULARY
from power_bert.folders import PACKAGE

PROJECT_ROOT = Path(__file__).resolve().parents[1]
# Doctests of the page, then of the docstrings, which use the names that the page has defined.
RUN = """
import doctest, re, sys
import power_bert
page = re.sub("(?m)^```.*$", "", open(sys.argv[1], encoding="utf-8").read())
parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
examples = parser.get_doctest(page, {}, sys.argv[1], sys.argv[1], 0)
runner.run(examples, clear_globs=False)
count = runner.summarize().attempted
for name in power_bert.__all__:
    public = getattr(power_bert, name)
    for test in doctest.DocTestFinder().find(public, name, globs={**vars(power_bert), **examples.globs}):
        runner.run(test)
print(runner.summarize())
sys.exit(runner.summarize().failed or count < 10)
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a user does: in a folder of his own, with none of the settings of run.sh."""
    left_out = ("TF_CPP_MIN_LOG_LEVEL", "POWER_BERT_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"PYTHONPATH": str(PACKAGE.parent), "HOME": str(folder)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def test_the_import_is_quick_and_quiet(tmp_path: Path) -> None:
    program = "import sys, power_bert; print(*({'keras', 'tensorflow', 'numpy'} & sys.modules.keys()), dir(power_bert))"
    result = python(tmp_path, "-c", program)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(" [") or result.stdout.startswith("[")
    assert all(repr(name) in result.stdout for name in power_bert.__all__)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'power_bert' has no attribute 'speedup'"):
        _ = power_bert.speedup


def test_the_version_is_that_of_the_distribution() -> None:
    assert f'version = "{power_bert.__version__}"' in (PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_page_names_all_public_names() -> None:
    page = (PROJECT_ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in power_bert.__all__ if f"`{name}`" not in page] == []


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["power_bert, keras_hub", "keras_hub, power_bert"])
def test_keras_hub_loads_a_run(cola_run: Any, tmp_path: Path, imports: str) -> None:
    load = f"keras_hub.models.TextClassifier.from_preset({str(cola_run.folder)!r})"
    result = python(tmp_path, "-c", f"import {imports}; print(type({load}.backbone).__name__)")
    assert (result.returncode, result.stdout) == (0, "PowerBertBackbone\n"), result.stderr
    assert result.stderr == "" or imports.startswith("keras_hub"), "what TensorFlow prints first cannot be held back"


@pytest.mark.slow
def test_examples(tmp_path: Path, write_checkpoint: Callable[..., Path]) -> None:
    write_checkpoint(tmp_path / "my-bert", VOCABULARY, 2, 2, 8, 12)
    result = python(tmp_path, "-c", RUN, str(PROJECT_ROOT / "docs" / "python.md"))
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
