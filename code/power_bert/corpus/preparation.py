"""The preparation of a corpus, with any runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from power_bert.beam_jobs import uses_beam
from power_bert.corpus.manifest import (
    Corpus,
    CorpusPlan,
    missing_shards,
    start_folder,
    stored_corpus,
    write_corpus_manifest,
)
from power_bert.corpus.shards import Shard, remove_other_shards
from power_bert.storage.locks import writes


@writes(lambda plan, folder, *_, **__: folder)
def prepare_corpus(
    plan: CorpusPlan,
    folder: Path,
    vocabulary_path: Path,
    workers: int = 1,
    runner: str = "local",
    beam_options: Sequence[str] = (),
    on_shard: Callable[[Shard], None] = lambda shard: None,
) -> Corpus:
    """Prepare a corpus, or resume an interrupted call.

    Args:
        plan: Plan of the corpus.
        folder: Corpus folder.
        vocabulary_path: Path of the vocabulary, which is copied into the folder.
        workers: Number of local processes that tokenize; with 1, this process does it.
        runner: "local" or "beam"; both write the same bytes.
        beam_options: Options of the Beam job, such as ["--runner=FlinkRunner", "--flink_master=…"]; without a
            `--runner` it runs on this machine.
        on_shard: Callback that receives every finished shard.

    Raises:
        UserError: The input is bad, the disk is full, or the folder holds something else; finished shards are kept.
    """
    write_shards = _shard_writer(plan, folder, workers, runner, beam_options)
    start_folder(folder, plan, vocabulary_path)
    corpus = stored_corpus(folder)
    if corpus is not None and not missing_shards(corpus):
        return corpus
    shards = []
    for shard in write_shards():
        on_shard(shard)
        shards.append(shard)
    remove_other_shards(folder, shards)
    return write_corpus_manifest(folder, plan, shards)


def _shard_writer(
    plan: CorpusPlan, folder: Path, workers: int, runner: str, beam_options: Sequence[str]
) -> Callable[[], Iterator[Shard]]:
    if uses_beam(runner, beam_options, "prepare-corpus"):
        from power_bert.corpus.beam_runner import write_shards_with_beam

        return lambda: write_shards_with_beam(plan, folder, beam_options)
    from power_bert.corpus.local_runner import write_shards

    return lambda: write_shards(plan, folder, workers)
