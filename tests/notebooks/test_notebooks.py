"""The notebooks run from beginning to end, in their order, on small slices of real data."""

import ast
import importlib
import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from power_bert.text.task import SPLITS

PROJECT_ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = PROJECT_ROOT / "notebooks"
FOLDERS = {"sst-2": "SST-2", "emotion": "emotion", "massive": "massive_en-US"}
SLICED = {
    "glue/SST-2": ("train.tsv", "dev.tsv", "test.tsv"),
    "emotion": ("train.txt", "val.txt", "test.txt"),
    "massive_en-US": ("train.jsonl", "validation.jsonl", "test.jsonl"),
}
TINY_TEACHER = {"epochs": 1}


def head(source: Path, target: Path, lines: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(source, encoding="utf-8") as file:
        target.write_text("".join(islice(file, lines)), encoding="utf-8")


def newsgroups_slice(archive: Path, target: Path) -> None:
    """Every 40th document of each split of the archive, as JSON lines."""
    from power_bert.text.newsgroups import read_newsgroups

    target.mkdir(parents=True)
    for split in SPLITS:
        rows = [
            {"text": text, "label": group} for group, _, text in islice(read_newsgroups(archive, split), 0, None, 40)
        ]
        (target / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


def execute(name: str, parameters: dict[str, Any]) -> list[Any]:
    """Run a notebook with other parameters; returns its cells with their outputs."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    (place,) = [index for index, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    text = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(text))
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    return list(notebook.cells)


def output_text(cells: list[Any]) -> str:
    return json.dumps([cell.get("outputs", []) for cell in cells], default=str)


@pytest.fixture(autouse=True)
def package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT / "code"))


@pytest.mark.slow
def test_teachers_students_and_their_comparison(shared_data: Path, minilm: Path, tmp_path: Path) -> None:
    for source, names in SLICED.items():
        for name, lines in zip(names, (200, 60, 60), strict=True):
            head(shared_data / source / name, tmp_path / Path(source).name / name, lines)
    data = {task: str(tmp_path / folder) for task, folder in FOLDERS.items()}
    runs, logits = str(tmp_path / "runs"), str(tmp_path / "logits")
    execute(
        "02_fine_tune_teachers.ipynb",
        {"DATA": data, "CHECKPOINT": str(minilm), "RUNS": runs, "SETTINGS": TINY_TEACHER, "OF_TASK": {}},
    )
    small = {"student": "bilstm", "epochs": 1, "vocabulary": str(minilm)}
    cells = execute("03_distill.ipynb", {"DATA": data, "RUNS": runs, "LOGITS": logits, "SETTINGS": small})
    (asked,) = [cell for cell in cells if cell.source.endswith("\nforwards")]
    assert asked.outputs[-1]["data"]["text/plain"] == "0", "the second student asks no teacher"
    phases = [path for path in Path(runs).glob("*/*/*") if path.name in ("1_fine_tune", "4_distill")]
    assert len(phases) == 3 * len(data) + 1 and all((phase / "model" / "README.md").is_file() for phase in phases)
    cells = execute("04_size_vs_latency.ipynb", {"TASKS": tuple(data), "RUNS": runs, "LOGITS": logits})
    assert "INFO:tensorflow" not in output_text(cells)
    assert output_text(cells).count("bilstm, 1 teacher: ") == output_text(cells).count("image/png") == len(data)


@pytest.mark.slow
def test_newsgroups(shared_data: Path, minilm: Path, tmp_path: Path) -> None:
    newsgroups_slice(shared_data / "20news-bydate.tar.gz", tmp_path / "data")
    parameters = {
        **{"DATA_DIR": str(tmp_path / "data"), "CHECKPOINT": str(minilm), "RUNS": str(tmp_path / "runs")},
        **{"LOGITS": str(tmp_path / "logits"), "TEACHER_SETTINGS": {**TINY_TEACHER, "max_length": 32}},
        "STUDENT_SETTINGS": {"student": "linear", "epochs": 2, "vocabulary": str(minilm)},
    }
    cells = execute("05_newsgroups_linear.ipynb", parameters)
    assert len(list(tmp_path.glob("runs/*/*/model/README.md"))) == 3, "a card for the teacher and both students"
    assert "sci.space" in output_text(cells) and "least squares" in output_text(cells)


@pytest.mark.slow
def test_eliminated_tokens_and_a_file_of_own_data(shared_data: Path, minilm: Path, tmp_path: Path) -> None:
    for name in SLICED["glue/SST-2"]:
        head(shared_data / "glue" / "SST-2" / name, tmp_path / "SST-2" / name, 150)
    quick = {"epochs": 1, "speedup": 1.5}
    common = {"CHECKPOINT": str(minilm), "SETTINGS": quick}
    cells = execute(
        "01_eliminate_tokens.ipynb", {"DATA_DIR": str(tmp_path / "SST-2"), "RUN": str(tmp_path / "run"), **common}
    )
    assert output_text(cells).count("image/png") == 3 and "gorgeous" in output_text(cells)
    own = {"TABLE": str(tmp_path / "own.csv"), "REVIEWS": str(tmp_path / "SST-2"), "ROWS": 120}
    cells = execute("06_own_data_to_a_phone.ipynb", {**own, "RUN": str(tmp_path / "own"), **common})
    assert "A funny and touching film." in output_text(cells) and (tmp_path / "own" / "reviews.tflite").exists()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_picture_and_at_the_end_a_table_of_what_was_expected(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert "image/png" in output_text(cells) and path.stat().st_size < 400_000
    table = "".join(cells[-1]["outputs"][-1]["data"]["text/plain"])
    assert all(column in table for column in ("expected", "seen", "holds"))


def test_numbered_and_without_errors() -> None:
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert [int(path.name[:2]) for path in paths] == list(range(1, len(paths) + 1))
    for path in paths:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                assert "def " not in "".join(cell["source"]), path.name
                assert all(output["output_type"] != "error" for output in cell["outputs"]), path.name


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_outputs_are_stored_and_name_no_folder_of_the_machine(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells[-1]["outputs"], "not executed: bash run.sh notebook"
    assert re.search(r"(^|[^\w.])/\S*/(checkpoints|glue_data|\.venv)/", output_text(cells)) is None


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_imports_exist(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("power_bert"):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
