"""Corpus preparation as an Apache Beam job, for corpora that are too large for one machine.

It writes the same blocks with the same `write_block` as the local runner, so the shards are identical, byte for byte.
Every worker needs this package, and must see the corpus folder and the sources under the same paths.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from power_bert.beam_jobs import beam_pipeline
from power_bert.corpus.block_writer import write_block
from power_bert.corpus.blocks import Block, blocks_of
from power_bert.corpus.inputs import CorpusInput
from power_bert.corpus.manifest import CorpusPlan
from power_bert.corpus.shards import Shard
from power_bert.storage.files import read_lines
from power_bert_runtime.parsing import parse_json

# The job lists its shards in this folder, one per line.
_NOTES = "beam"


def write_shards_with_beam(plan: CorpusPlan, folder: Path, options: Sequence[str]) -> Iterator[Shard]:
    """Write all missing shards; yield every shard when the job is done.

    Args:
        plan: Plan of the corpus.
        folder: Corpus folder that `start_folder` has prepared.
        options: Options of the Beam job; without a `--runner` it runs on this machine.
    """
    import apache_beam as beam

    notes = folder / _NOTES
    shutil.rmtree(notes, ignore_errors=True)
    with beam_pipeline(options) as pipeline:
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


def _blocks(numbered_input: tuple[int, CorpusInput], plan: CorpusPlan) -> Iterator[Block]:
    number, corpus_input = numbered_input
    return blocks_of(number, corpus_input, plan.rules, plan.split, plan.shard_characters)


def _write(block: Block, folder: str, lowercase: bool, length: int) -> str:
    return json.dumps(dataclasses.asdict(write_block(block, Path(folder), lowercase, length)))
