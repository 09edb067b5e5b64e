"""Prepares a corpus as an Apache Beam job, for what is too large for one machine.

The same blocks through the same `write_block` as on one machine, so the shards are the same, byte for byte. All workers
must have this package, and see the folder of the corpus and the sources under the same paths.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from power_bert.corpus.block_writer import write_block
from power_bert.corpus.blocks import Block, blocks_of
from power_bert.corpus.inputs import CorpusInput
from power_bert.corpus.manifest import CorpusPlan
from power_bert.corpus.shards import Shard
from power_bert.errors import UserError
from power_bert.files import read_lines
from power_bert.parsing import parse_json

# The job notes its shards there, a line each.
_NOTES = "beam"


def check_beam() -> None:
    """Raise a UserError where Apache Beam is not installed."""
    if importlib.util.find_spec("apache_beam") is None:
        raise UserError("--runner beam needs Apache Beam: EXTRAS=beam bash run.sh prepare-corpus …")


def write_shards_with_beam(plan: CorpusPlan, folder: Path, options: Sequence[str]) -> Iterator[Shard]:
    """Writes all shards that are not there yet; yields all of them when the job is done.

    Args:
        plan: What to prepare.
        folder: Where; it has been started.
        options: Of the job; without a runner among them it runs on this machine.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    notes = folder / _NOTES
    shutil.rmtree(notes, ignore_errors=True)
    with _errors_of_workers(), beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        (
            pipeline
            | "inputs" >> beam.Create(list(enumerate(plan.inputs)))
            | "spread the inputs" >> beam.Reshuffle()
            | "blocks" >> beam.FlatMap(partial(_blocks, plan=plan))
            | "spread the blocks" >> beam.Reshuffle()
            | "shards" >> beam.Map(partial(_write, folder=str(folder), lowercase=plan.lowercase, length=plan.length))
            | "notes" >> beam.io.WriteToText(str(notes / "part"))
        )
    lines = [line for path in notes.glob("*") if path.stat().st_size for line in read_lines(path)]
    shutil.rmtree(notes)
    yield from (Shard.from_json(parse_json(line, notes), notes) for line in lines)


@contextmanager
def _errors_of_workers() -> Iterator[None]:
    """What a worker says is wrong, without the traceback that Beam logs and the step that it adds."""
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # an error is raised here too
    try:
        yield
    except UserError as error:
        raise UserError(str(error).partition(" [while running")[0]) from None
    finally:
        logger.setLevel(level)


def _blocks(numbered_input: tuple[int, CorpusInput], plan: CorpusPlan) -> Iterator[Block]:
    number, corpus_input = numbered_input
    return blocks_of(number, corpus_input, plan.rules, plan.split, plan.shard_characters)


def _write(block: Block, folder: str, lowercase: bool, length: int) -> str:
    return json.dumps(dataclasses.asdict(write_block(block, Path(folder), lowercase, length)))
