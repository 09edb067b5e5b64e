"""Execute notebooks in their order and store their outputs: `bash run.sh notebook [01 06 …]`."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from power_bert.storage.files import atomic_write_text

FOLDER = Path(__file__).resolve().parent
# Lines of a running phase, which say nothing more once it has ended.
_PROGRESS = re.compile(r"^.*  left \d+ s\n", re.MULTILINE)


def main(chosen: list[str]) -> str | None:
    """Execute the notebooks whose names start with one of `chosen`, or all; return an error for the user, or None."""
    notebooks = sorted(FOLDER.glob("[0-9]*.ipynb"))
    for start in chosen:
        if not any(path.name.startswith(start) for path in notebooks):
            return f"error: notebook {start}: expected the start of one of {', '.join(path.name for path in notebooks)}"
    for path in notebooks:
        if not chosen or path.name.startswith(tuple(chosen)):
            print(f"{path.name} …", flush=True)
            started, notebook = time.monotonic(), nbformat.read(path, as_version=4)
            try:
                resources = {"metadata": {"path": str(FOLDER)}}
                NotebookClient(notebook, timeout=None, coalesce_streams=True, resources=resources).execute()
            except CellExecutionError as error:
                return f"error: {path.name}: a cell failed, and the notebook is left as it was\n{error}"
            for cell in notebook.cells:
                cell.metadata.pop("execution", None)  # the times of day of each cell
                for output in cell.get("outputs", []):
                    if output.output_type == "stream":
                        output.text = _PROGRESS.sub("", output.text)
            # Stored outputs are read elsewhere: paths start at the folder of the project.
            atomic_write_text(path, nbformat.writes(notebook).replace(f"{FOLDER.parent}/", "") + "\n")
            print(f"{path.name}: done in {(time.monotonic() - started) / 60:.1f} min", flush=True)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
