"""`bash run.sh notebook`: data is fetched first, and a failing notebook stops only those that need its results."""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from power_bert.errors import UserError
from power_bert.text.glue_tasks import get_task

PROGRESS = (
    "1 fine-tune: 32 of 64 examples  left 9 s\n2 search: blocks measured  2/6\nINFO:tensorflow:Assets written to: a\n"
)
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("execute_notebooks", NOTEBOOKS / "execute.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Prepare = Callable[..., ModuleType]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Six small notebooks in place of the real ones; `asked` and `executed` say what was done."""

    def make(fails: tuple[str, ...] = (), not_fetched: tuple[str, ...] = ()) -> ModuleType:
        module = load()
        monkeypatch.setattr(module, "FOLDER", tmp_path / "notebooks")
        monkeypatch.setattr(module, "DATA_FOLDER", tmp_path / "glue_data")
        module.FOLDER.mkdir()
        for number in ("01", "02", "03", "04", "05", "06"):
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"# {number}")])
            nbformat.write(notebook, module.FOLDER / f"{number}_name.ipynb")
        module.asked, module.executed = [], []

        class Client:
            def __init__(self, notebook: nbformat.NotebookNode, **_: object) -> None:
                self.notebook, self.number = notebook, notebook.cells[0].source[2:]

            def execute(self) -> None:
                module.executed.append(self.number)
                if self.number in fails:
                    raise module.CellExecutionError("traceback", "ValueError", "wrong")
                self.notebook.cells[0].outputs = [
                    nbformat.v4.new_output("stream", text=f"{PROGRESS}ran {self.number}\n")
                ]

        def download(tasks: list[str], folder: Path, *_: object) -> None:
            module.asked.extend(tasks)
            if tasks[0] in not_fetched:
                raise UserError(f"{tasks[0]}: no network")
            (folder / get_task(tasks[0]).folder).mkdir(parents=True)

        monkeypatch.setattr(module, "NotebookClient", Client)
        monkeypatch.setattr(module, "download_glue", download)
        return module

    return make


def test_all_are_executed_and_stored(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    module = prepare()
    assert module.main([]) is None
    assert module.executed == ["01", "02", "03", "04", "05", "06"]
    assert module.asked == ["sst-2", "emotion", "massive", "20newsgroups"]
    assert "bash run.sh download sst-2 emotion massive 20newsgroups" in capsys.readouterr().out
    (cell,) = nbformat.read(module.FOLDER / "05_name.ipynb", as_version=4).cells
    assert cell.outputs[0].text == "ran 05\n", "without the lines of a running phase"


def test_data_that_is_there_or_not_needed_is_not_fetched(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    module = prepare()
    (module.DATA_FOLDER / "massive_en-US").mkdir(parents=True)
    assert module.main(["02", "04"]) is None
    assert module.asked == ["sst-2", "emotion"] and module.executed == ["02", "04"]
    module.main(["04"])
    assert capsys.readouterr().out.count("Missing data sets") == 1


def test_a_failure_stops_only_what_needs_it(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    module = prepare(fails=("02", "05"))
    problem = module.main([])
    assert module.executed == ["01", "02", "05", "06"]
    assert problem.splitlines() == [
        "error: 4 of 6 notebooks not executed:",
        "  02_name.ipynb: a cell failed, and the notebook is left as it was",
        "  03_name.ipynb: left out, because it needs the results of 02",
        "  04_name.ipynb: left out, because it needs the results of 03",
        "  05_name.ipynb: a cell failed, and the notebook is left as it was",
    ]
    assert "error: 02_name.ipynb: traceback" in capsys.readouterr().out
    assert "ran" not in (module.FOLDER / "02_name.ipynb").read_text(encoding="utf-8")


def test_data_that_cannot_be_fetched(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    module = prepare(not_fetched=("emotion", "20newsgroups"))
    problem = module.main([])
    assert module.asked == ["sst-2", "emotion", "massive", "20newsgroups"] and module.executed == ["01", "06"]
    assert "02_name.ipynb: left out, because emotion could not be fetched" in problem
    assert "05_name.ipynb: left out, because 20newsgroups could not be fetched" in problem
    assert "error: emotion: no network" in capsys.readouterr().out


def test_an_unknown_notebook_is_named_before_anything_is_fetched(prepare: Prepare) -> None:
    module = prepare()
    assert module.main(["01", "07"]).startswith("error: notebook 07: expected the start of one of 01_name.ipynb, ")
    assert module.asked == module.executed == []


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_the_data_sets_are_those_that_the_notebook_reads(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    folders = {get_task(task).folder for task in load().DATA.get(path.name[:2], ())}
    assert set(re.findall(r"\.\./glue_data/([\w-]+)", source)) == folders
