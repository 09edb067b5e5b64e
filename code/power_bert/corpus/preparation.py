"""One way in to the preparation of a corpus, whatever it runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from power_bert.corpus.manifest import Corpus, CorpusPlan, missing_shards, start_folder, stored_corpus, write_manifest
from power_bert.corpus.shards import Shard, remove_other_shards
from power_bert.errors import UserError
from power_bert.locks import writes

RUNNERS = ("local", "beam")


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
    """Prepares a corpus, or goes on where an interrupted call stopped.

    Args:
        plan: What to prepare.
        folder: Where.
        vocabulary_path: Copied into the folder.
        workers: Processes of the local runner that tokenise; 1 does it in this one.
        runner: "local" or "beam"; both write the same bytes.
        beam_options: Of the Beam job, such as ["--runner=FlinkRunner", "--flink_master=…"]; without a runner among
            them it runs on this machine.
        on_shard: Told every shard that is finished.

    Raises:
        UserError: Bad input, a full disk, or a folder with something else in it; finished shards are kept.
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
    return write_manifest(folder, plan, shards)


def _shard_writer(
    plan: CorpusPlan, folder: Path, workers: int, runner: str, beam_options: Sequence[str]
) -> Callable[[], Iterator[Shard]]:
    if runner == "beam":
        from power_bert.corpus.beam_runner import check_beam, write_shards_with_beam

        check_beam()
        return lambda: write_shards_with_beam(plan, folder, beam_options)
    if runner != "local":
        raise UserError(f"--runner {runner!r}: expected one of {', '.join(RUNNERS)}")
    from power_bert.corpus.local_runner import write_shards

    return lambda: write_shards(plan, folder, workers)
