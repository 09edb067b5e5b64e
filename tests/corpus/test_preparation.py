"""Tests of preparing a corpus: the same shards however it is run, interrupted or not; bad input."""

import dataclasses
import errno
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutated, mutation_settings
from power_bert.corpus import block_writer, local_runner, shards
from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules, read_corpus_documents
from power_bert.corpus.manifest import Corpus, CorpusPlan, describe_corpus, make_plan, open_corpus
from power_bert.corpus.preparation import prepare_corpus
from power_bert.corpus.records import tokenize_documents
from power_bert.corpus.shards import read_shard, shard_path
from power_bert.corpus.vocabulary_file import VocabularyOrigin
from power_bert.corpus.vocabulary_training import train_vocabulary_file
from power_bert.errors import UserError

PlanMaker = Callable[..., CorpusPlan]


@pytest.fixture
def corpus(make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path) -> Corpus:
    return prepare_corpus(make_corpus_plan(), tmp_path / "corpus", vocab_file)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class TestResult:
    def test_every_document_is_on_its_side(self, corpus: Corpus, text_file: Path) -> None:
        split, tokenizer = DocumentSplit(0.25), corpus.tokenizer
        documents = list(read_corpus_documents(text_file, DocumentRules()))
        for side in ("train", "test"):
            expected = [text for text in documents if split.side_of(text) == side]
            totals = corpus.totals(side)  # type: ignore[arg-type]
            assert totals["documents"] == len(expected) > 5
            assert totals["shards"] > 1
            pieces = np.concatenate(tokenize_documents(expected, tokenizer))
            records = [read_shard(corpus.folder, shard, 9) for shard in corpus.side(side)]  # type: ignore[arg-type]
            stored = np.concatenate(records).ravel()
            assert stored[stored > tokenizer.mask_id].tolist() == pieces[pieces > tokenizer.mask_id].tolist()
            assert totals["tokens"] == (stored != tokenizer.pad_id).sum()
            assert totals["unknown"] == (stored == tokenizer.unknown_id).sum()

    def test_it_can_be_opened(self, corpus: Corpus) -> None:
        assert open_corpus(corpus.folder) == corpus
        assert "9 tokens" in describe_corpus(corpus) and "train" in describe_corpus(corpus)

    def test_again_does_nothing(
        self, corpus: Corpus, make_corpus_plan: PlanMaker, vocab_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(block_writer, "write_shard", lambda *arguments: pytest.fail("written again"))
        assert prepare_corpus(make_corpus_plan(), corpus.folder, vocab_file) == corpus

    def test_two_processes_write_the_same(
        self, corpus: Corpus, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path
    ) -> None:
        prepare_corpus(make_corpus_plan(), tmp_path / "other", vocab_file, workers=2)
        assert contents(tmp_path / "other") == contents(corpus.folder)

    def test_beam_writes_the_same(
        self, corpus: Corpus, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path
    ) -> None:
        pytest.importorskip(
            "apache_beam", reason="needs Apache Beam: POWER_BERT_VENV=.venv-beam EXTRAS=beam bash run.sh test"
        )
        prepare_corpus(make_corpus_plan(), tmp_path / "other", vocab_file, runner="beam")
        assert contents(tmp_path / "other") == contents(corpus.folder)

    def test_beam_names_what_is_wrong(
        self, vocab_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip(
            "apache_beam", reason="needs Apache Beam: POWER_BERT_VENV=.venv-beam EXTRAS=beam bash run.sh test"
        )
        (tmp_path / "bad.txt").write_bytes(b"the cat sat\n\x00\n")
        plan = make_plan([str(tmp_path / "bad.txt")], vocab_file, 9, DocumentRules(), DocumentSplit(0.0))
        with pytest.raises(UserError, match=r"bad\.txt, line 2: holds a zero byte.*plain or gzip\.$"):
            prepare_corpus(plan, tmp_path / "out", vocab_file, runner="beam")
        assert "Traceback" not in capfd.readouterr().err

    def test_empty_documents_and_shards(self, vocab_file: Path, tmp_path: Path) -> None:
        text = tmp_path / "odd.txt"
        text.write_text("\u200b\n\nthe cat sat\n\n\u00ad\n", encoding="utf-8")
        plan = make_plan([str(text)], vocab_file, 9, DocumentRules(), DocumentSplit(0.0))
        made = prepare_corpus(dataclasses.replace(plan, shard_characters=1), tmp_path / "odd", vocab_file)
        assert made.totals("train")["records"] == 1


class TestInterrupted:
    def test_goes_on_with_the_missing_shards(
        self,
        corpus: Corpus,
        make_corpus_plan: PlanMaker,
        vocab_file: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        folder, written = tmp_path / "other", list[str]()
        write = shards.write_shard

        def stop_at_the_third(*arguments: object) -> shards.Shard:
            if len(written) == 2:
                raise KeyboardInterrupt
            shard = write(*arguments)  # type: ignore[arg-type]
            written.append(shard.name)
            return shard

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(block_writer, "write_shard", stop_at_the_third)
            prepare_corpus(make_corpus_plan(), folder, vocab_file)
        with pytest.raises(UserError, match=r"is not complete .*give the prepare-corpus command \(again\)"):
            open_corpus(folder)

        def only_new(*arguments: object) -> shards.Shard:
            shard = write(*arguments)  # type: ignore[arg-type]
            assert shard.name not in written
            return shard

        monkeypatch.setattr(block_writer, "write_shard", only_new)
        prepare_corpus(make_corpus_plan(), folder, vocab_file)
        assert contents(folder) == contents(corpus.folder)

    def test_killed_before_the_vocabulary_was_copied(
        self, corpus: Corpus, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "other"
        folder.mkdir()
        shutil.copy(corpus.folder / "plan.json", folder)
        prepare_corpus(make_corpus_plan(), folder, vocab_file)
        assert contents(folder) == contents(corpus.folder)

    def test_a_worker_that_is_killed(
        self, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local_runner, "_start_worker", functools.partial(os._exit, 9))
        with pytest.raises(UserError, match=r"ended from outside.*is kept.*fewer --workers"):
            prepare_corpus(make_corpus_plan(), tmp_path / "out", vocab_file, workers=2)

    @pytest.mark.slow
    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of POSIX")
    def test_killed(self, vocab_file: Path, tmp_path: Path, project_root: Path) -> None:
        text = tmp_path / "large.txt"
        text.write_text("the cat sat on the mat\n\n" * 3 + "a dog ran\n" * 2_000_000, encoding="utf-8")
        command = [
            *(sys.executable, "-m", "power_bert", "prepare-corpus", str(text), "--vocab", str(vocab_file)),
            *("--out", str(tmp_path / "killed"), "--length", "16", "--test-share", "0", "--workers", "2"),
        ]
        environment = {**os.environ, "PYTHONPATH": str(project_root / "code")}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while not list((tmp_path / "killed").glob("train/*.npy")):
            assert process.poll() is None, "ended before it could be killed"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed" / "manifest.json").exists()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        command[command.index("--out") + 1] = str(tmp_path / "whole")
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        assert contents(tmp_path / "killed") == contents(tmp_path / "whole")

    def test_other_text_is_prepared_anew(
        self, make_corpus_plan: PlanMaker, text_file: Path, vocab_file: Path, tmp_path: Path
    ) -> None:
        folder, plan = tmp_path / "other", make_corpus_plan()
        prepare_corpus(plan, folder, vocab_file)
        (folder / "manifest.json").unlink()  # as if killed just before the end
        text_file.write_bytes(text_file.read_bytes()[::-1])
        made = prepare_corpus(plan, folder, vocab_file)
        whole = prepare_corpus(plan, tmp_path / "whole", vocab_file)
        assert made.shards == whole.shards and contents(folder) == contents(whole.folder)

    def test_a_deleted_shard_is_made_anew(self, corpus: Corpus, make_corpus_plan: PlanMaker, vocab_file: Path) -> None:
        before, path = contents(corpus.folder), shard_path(corpus.folder, corpus.shards[1].name)
        path.unlink()
        with pytest.raises(UserError, match=f"{path}: the shard is missing"):
            open_corpus(corpus.folder)
        prepare_corpus(make_corpus_plan(), corpus.folder, vocab_file)
        assert contents(corpus.folder) == before


class TestDamage:
    def test_corrupt_shard(self, corpus: Corpus) -> None:
        shard = corpus.shards[0]
        path = shard_path(corpus.folder, shard.name)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(UserError, match=f"{path}: the shard is corrupt, its sha256"):
            read_shard(corpus.folder, shard, 9)

    @pytest.mark.parametrize("name", ["manifest.json", "plan.json"])
    @pytest.mark.parametrize("content", ["{", "[]", "{}"])
    def test_damaged_description(self, name: str, content: str, corpus: Corpus) -> None:
        (corpus.folder / name).write_text(content)
        with pytest.raises(
            UserError, match=f"{corpus.folder / name}(, line 1)?: (damaged|not valid JSON).*prepare the corpus anew"
        ):
            open_corpus(corpus.folder)

    @pytest.mark.parametrize(
        ("name", "old", "new", "message"),
        [
            ("manifest.json", '"records": ', '"records": "x', r"manifest\.json.*damaged"),
            (
                "manifest.json",
                '"tokens": ',
                '"tokens": 1',
                r"manifest\.json: damaged \(totals are not",
            ),
            ("plan.json", '"length": 9', '"length": 8', r"plan\.json: not the one that the corpus was prepared with"),
            (
                "plan.json",
                '"lowercase": true',
                '"lowercase": 1',
                r"plan\.json: damaged: lowercase is 1, expected",
            ),
        ],
    )
    def test_edited_description(self, name: str, old: str, new: str, message: str, corpus: Corpus) -> None:
        path = corpus.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(UserError, match=message):
            open_corpus(corpus.folder)

    def test_a_manifest_of_an_older_version_is_read(self, corpus: Corpus) -> None:
        path = corpus.folder / "manifest.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        del values["plan_sha256"]
        path.write_text(json.dumps(values), encoding="utf-8")
        assert open_corpus(corpus.folder).shards == corpus.shards

    def test_a_shard_that_is_not_what_was_written_is_made_anew(
        self, corpus: Corpus, make_corpus_plan: PlanMaker, vocab_file: Path
    ) -> None:
        before, path = contents(corpus.folder), shard_path(corpus.folder, corpus.shards[0].name)
        path.write_bytes(path.read_bytes()[:-1])
        (corpus.folder / "manifest.json").unlink()  # as after a kill
        prepare_corpus(make_corpus_plan(), corpus.folder, vocab_file)
        assert contents(corpus.folder) == before

    def test_any_damage_is_a_user_error(self, corpus: Corpus) -> None:
        def records() -> list[Any]:
            found = open_corpus(corpus.folder)
            return [read_shard(found.folder, shard, found.length).tolist() for shard in found.shards]

        expected = records()
        paths = [path for path in sorted(corpus.folder.rglob("*")) if path.is_file()]
        whole = {path: path.read_bytes() for path in paths}

        @mutation_settings
        @given(st.sampled_from(paths).flatmap(lambda path: st.tuples(st.just(path), mutated(whole[path]))))
        def check(damaged: tuple[Path, bytes]) -> None:
            path, content = damaged
            path.write_bytes(content)
            try:
                assert records() == expected
            except UserError as error:
                assert str(corpus.folder) in str(error)
            finally:
                path.write_bytes(whole[path])

        check()

    def test_another_vocabulary(self, corpus: Corpus) -> None:
        with (corpus.folder / "vocab.txt").open("a") as file:
            file.write("more\n")
        with pytest.raises(UserError, match=r"vocab\.txt: not the one that the corpus was prepared with"):
            open_corpus(corpus.folder)

    def test_full_disk(
        self, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(path: Path, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch, pytest.raises(UserError, match=r"the disk is full \(\d+ MB free\)"):
            patch.setattr(shards, "atomic_write_bytes", full)
            prepare_corpus(make_corpus_plan(), tmp_path / "full", vocab_file)
        assert prepare_corpus(make_corpus_plan(), tmp_path / "full", vocab_file).shards


class TestBadInput:
    def test_a_folder_of_another_plan(self, corpus: Corpus, make_corpus_plan: PlanMaker, vocab_file: Path) -> None:
        plan = make_corpus_plan(seed=1)
        with pytest.raises(UserError, match=r'prepared otherwise \(split: .*"seed": 0.* there, .*"seed": 1.* now\)'):
            prepare_corpus(plan, corpus.folder, vocab_file)

    def test_a_folder_with_something_else(self, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no prepared corpus; choose another --out"):
            prepare_corpus(make_corpus_plan(), tmp_path, vocab_file)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt", "vocab.txt"]

    def test_no_text(self, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path) -> None:
        (tmp_path / "empty.txt").write_text("\n\n")
        with pytest.raises(UserError, match=r"empty\.txt: no training text"):
            prepare_corpus(make_corpus_plan(tmp_path / "empty.txt"), tmp_path / "out", vocab_file)

    def test_no_test_text(self, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path) -> None:
        plan = make_corpus_plan(test_share=1e-9)
        with pytest.raises(UserError, match=r"of 60 documents none fell to the test split .*larger --test-share"):
            prepare_corpus(plan, tmp_path / "out", vocab_file)

    def test_vocabulary_without_special_tokens(self, text_file: Path, tmp_path: Path) -> None:
        (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nthe\n")
        with pytest.raises(UserError, match=r"vocab\.txt: special tokens are missing: \[CLS\], \[SEP\]\."):
            make_plan([str(text_file)], tmp_path / "vocab.txt", 9, DocumentRules(), DocumentSplit())

    def test_vocabulary_without_a_mask_or_of_another_tokenizer(self, text_file: Path, tmp_path: Path) -> None:
        path = tmp_path / "vocab.txt"
        path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n")
        with pytest.raises(UserError, match=r"vocab\.txt: no token \[MASK\], which masking needs"):
            make_plan([str(text_file)], path, 9, DocumentRules(), DocumentSplit())
        path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")
        (tmp_path / "tokenizer_config.json").write_text('{"strip_accents": false}')
        with pytest.raises(UserError, match=r"vocab\.txt: the tokenizer files beside it set strip_accents"):
            make_plan([str(text_file)], path, 9, DocumentRules(), DocumentSplit())
        (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
        assert make_plan([str(text_file)], path, 9, DocumentRules(), DocumentSplit()).lowercase is False

    def test_vocabulary_that_has_seen_the_test(self, text_file: Path, tmp_path: Path) -> None:
        path = tmp_path / "vocab.txt"
        rules, split = DocumentRules(), DocumentSplit(0.2, seed=3)
        train_vocabulary_file([str(text_file)], path, 60, VocabularyOrigin(False, rules, split), lambda: None)
        with pytest.raises(UserError, match=r"trained with --seed 3 --test-share 0\.2 .*has seen test documents"):
            make_plan([str(text_file)], path, 9, rules, DocumentSplit(0.2))
        sample = make_plan([str(text_file)], path, 9, rules, DocumentSplit(0.2, proportion=0.5, seed=3))
        assert not sample.lowercase, "as the vocabulary says itself"

    @pytest.mark.parametrize("length", [2, 5000])
    def test_length(self, length: int, text_file: Path, vocab_file: Path) -> None:
        with pytest.raises(UserError, match=f"--length {length}: expected 3 to 4096"):
            make_plan([str(text_file)], vocab_file, length, DocumentRules(), DocumentSplit())

    def test_runner(self, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="'flink': expected one of local, beam"):
            prepare_corpus(make_corpus_plan(), tmp_path / "out", vocab_file, runner="flink")

    def test_beam_is_not_installed(
        self, make_corpus_plan: PlanMaker, vocab_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(UserError, match=r"POWER_BERT_VENV=\.venv-beam EXTRAS=beam bash run\.sh prepare-corpus"):
            prepare_corpus(make_corpus_plan(), tmp_path / "out", vocab_file, runner="beam")
        assert not (tmp_path / "out").exists()


def test_the_plan_is_json(make_corpus_plan: PlanMaker) -> None:
    plan = make_corpus_plan()
    assert json.loads(json.dumps(plan.to_json())) == plan.to_json()
