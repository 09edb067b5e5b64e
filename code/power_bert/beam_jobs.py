"""Jobs of Apache Beam: the choice of a runner, and pipelines whose errors are those of this package."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from power_bert.errors import UserError

RUNNERS = ("local", "beam")
# Beam appends the name of the step; in the text of a traceback, an empty line comes next.
_USER_ERROR = re.compile(r"\bUserError: (.*?)(?: \[while running|\n\n|$)", re.DOTALL)


def uses_beam(runner: str, options: Sequence[str], command: str, extras: str = "beam") -> bool:
    """Return whether a command runs as a Beam job.

    Args:
        runner: "local" or "beam".
        options: Options of the Beam job.
        command: Name of the command, for messages.
        extras: Extras that the command needs with Beam, for messages.

    Raises:
        UserError: There is no such runner, it takes no options, or Apache Beam is not installed.
    """
    if runner not in RUNNERS:
        raise UserError(f"--runner {runner!r}: expected one of {', '.join(RUNNERS)}")
    if runner == "local":
        if options:
            raise UserError(f"--beam-option {options[0]}: is for --runner beam")
        return False
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError(
            "--runner beam needs Apache Beam, which wants other versions of some packages than TensorFlow. Give it an "
            f"environment of its own: POWER_BERT_VENV=.venv-beam EXTRAS={extras} bash run.sh {command} …"
        )
    return True


@contextmanager
def beam_pipeline(options: Sequence[str]) -> Iterator[Any]:
    """Yield a pipeline, which runs at the end of the block.

    Args:
        options: Options of the Beam job; without a `--runner` it runs on this machine.

    Raises:
        UserError: Beam does not take the options, or a worker raised it.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    # Worker processes on this machine import what this process imports.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    with _errors_of_workers():
        try:
            pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
        except ValueError as error:
            raise UserError(f"--beam-option {' '.join(options)}: {error}") from None
        with pipeline:
            yield pipeline


@contextmanager
def _errors_of_workers() -> Iterator[None]:
    """Raise a worker's `UserError` without the traceback that Beam logs and the step name that it appends."""
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # the error is raised here anyway
    try:
        yield
    except (UserError, RuntimeError) as error:
        # Of a worker in another process, there is only the text of its traceback.
        found = _USER_ERROR.search(f"{type(error).__name__}: {error}")
        if found is None:
            raise
        raise UserError(found[1]) from None
    finally:
        logger.setLevel(level)
