"""Execute notebooks in their order and store their outputs: `bash run.sh notebook [01 06 …]`.

Data sets that are missing are fetched first. A notebook that fails stops only those that need its results.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from rich.console import Console

from power_bert.errors import UserError
from power_bert.glue.glue_download import download_glue
from power_bert.storage.files import atomic_write_text
from power_bert.storage.transfer_progress import transfer_bars
from power_bert.text.glue_tasks import get_task

FOLDER = Path(__file__).resolve().parent
# Where the notebooks read data sets, whatever POWER_BERT_HOME says.
DATA_FOLDER = FOLDER.parent / "glue_data"
# Number of a notebook → tasks whose data it reads.
DATA = {
    "01": ("sst-2",),
    "02": ("sst-2", "emotion", "massive"),
    "03": ("sst-2", "emotion", "massive"),
    "05": ("20newsgroups",),
    "06": ("sst-2",),
}
# Number of a notebook → the notebook whose results it reads.
NEEDED = {"03": "02", "04": "03"}
# Lines of a running phase, which say nothing more once it has ended, and of TensorFlow on the files that it writes.
_PROGRESS = re.compile(
    r"^(.*  left \d+ s|.*: blocks measured  \d+/\d+|INFO:tensorflow:Assets written.*)\n", re.MULTILINE
)


def main(chosen: list[str]) -> str | None:
    """Execute the notebooks whose names start with one of `chosen`, or all; return an error for the user, or None."""
    notebooks = sorted(FOLDER.glob("[0-9]*.ipynb"))
    for start in chosen:
        if not any(path.name.startswith(start) for path in notebooks):
            return f"error: notebook {start}: expected the start of one of {', '.join(path.name for path in notebooks)}"
    numbered = {path.name[:2]: path for path in notebooks if not chosen or path.name.startswith(tuple(chosen))}
    fetch_missing(list(dict.fromkeys(task for number in numbered for task in DATA.get(number, ()))))
    problems: dict[str, str] = {}
    for number, path in numbered.items():
        if missing := find_missing(DATA.get(number, ())):
            problems[number] = f"left out, because {', '.join(missing)} could not be fetched"
        elif NEEDED.get(number) in problems:
            problems[number] = f"left out, because it needs the results of {NEEDED[number]}"
        elif not execute(path):
            problems[number] = "a cell failed, and the notebook is left as it was"
    if problems:
        lines = "\n".join(f"  {numbered[number].name}: {problem}" for number, problem in problems.items())
        return f"error: {len(problems)} of {len(numbered)} notebooks not executed:\n{lines}"
    return None


def find_missing(tasks: tuple[str, ...] | list[str]) -> list[str]:
    """Return the tasks without a folder of data; data that a user has put there counts."""
    return [task for task in tasks if not (DATA_FOLDER / get_task(task).folder).exists()]


def fetch_missing(tasks: list[str]) -> None:
    """Fetch the data sets that are missing; say which could not be fetched and what to do."""
    missing = find_missing(tasks)
    if missing:
        print(f"Missing data sets are fetched, as by `bash run.sh download {' '.join(missing)}`:", flush=True)
    console = Console(highlight=False, soft_wrap=True)
    for task in missing:
        try:
            with transfer_bars(console) as show_progress:
                download_glue([task], DATA_FOLDER, functools.partial(console.print, markup=False), show_progress)
        except UserError as error:
            print(f"error: {error}", flush=True)


def execute(path: Path) -> bool:
    """Execute a notebook and store its outputs; return whether all cells succeeded, and print the error of one."""
    print(f"{path.name} …", flush=True)
    started, notebook = time.monotonic(), nbformat.read(path, as_version=4)
    try:
        resources = {"metadata": {"path": str(FOLDER)}}
        NotebookClient(notebook, timeout=None, coalesce_streams=True, resources=resources).execute()
    except (CellExecutionError, DeadKernelError) as error:
        print(f"error: {path.name}: {error}", flush=True)
        return False
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of day of each cell
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = _PROGRESS.sub("", output.text)
    # Stored outputs are read elsewhere: paths start at the folder of the project.
    atomic_write_text(path, nbformat.writes(notebook).replace(f"{FOLDER.parent}/", "") + "\n")
    print(f"{path.name}: done in {(time.monotonic() - started) / 60:.1f} min", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
