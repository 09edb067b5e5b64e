"""Tests of a whole pre-training: it learns, resumes exactly, and refuses what cannot be."""

import errno
import itertools
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
from rich.console import Console

from power_bert.config.pretraining import PretrainingSettings
from power_bert.corpus.manifest import Corpus
from power_bert.corpus.shards import shard_path
from power_bert.errors import UserError
from power_bert.pretrain.pretraining_folder import PretrainingDir
from power_bert.pretrain.progress import PretrainingProgress
from power_bert.pretrain.run_pretraining import pretrain

Settings = Callable[..., PretrainingSettings]
FIGURES = ("step", "tokens", "train_loss", "test_loss", "perplexity", "masked_accuracy")


def history_of(folder: PretrainingDir) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = json.loads(folder.metrics.read_text())["history"]
    return values


def losses(folder: PretrainingDir) -> np.ndarray:
    return np.array([[entry["train_loss"], entry["test_loss"]] for entry in history_of(folder)])


@pytest.fixture(scope="module")
def finished(make_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> PretrainingDir:
    """Ten training steps with dropout, in intervals of four."""
    return pretrain(make_settings(dropout=0.2), tmp_path_factory.mktemp("finished") / "out", Console(quiet=True))


class TestResult:
    def test_what_is_left(self, finished: PretrainingDir) -> None:
        names = {path.name for path in finished.path.iterdir()}
        assert names == {
            *("settings.json", "environment.json", "log.txt", "metrics.csv", "metrics.json", "tensorboard", "DONE"),
            *("model", "hugging_face", "tf1"),
        }
        history = history_of(finished)
        assert [entry["step"] for entry in history] == [4, 8, 10]
        assert [entry["tokens"] for entry in history] == [4 * 88, 8 * 88, 10 * 88]
        rows = finished.metrics_csv.read_text().splitlines()
        assert len(rows) == 4 and rows[0].split(",") == list(history[0])
        for entry in history:
            assert entry["perplexity"] == pytest.approx(np.exp(entry["test_loss"]))
            assert 0 <= entry["waiting_share"] <= 1 and entry["tokens_per_second"] > 0
        assert [b["seconds"] > a["seconds"] for a, b in itertools.pairwise(history)] == [True, True]
        metrics = json.loads(finished.metrics.read_text())
        assert metrics["tokens_per_second"] == pytest.approx(10 * 88 / history[-1]["seconds"])
        for name in ("waiting_share", "preparing_share"):
            values = [entry[name] for entry in history]
            assert min(values) <= metrics[name] <= max(values)

    def test_again_does_nothing(self, finished: PretrainingDir, make_settings: Settings, console: Console) -> None:
        before = finished.metrics.stat().st_mtime_ns
        pretrain(make_settings(dropout=0.2), finished.path, console)
        assert "already done" in console.file.getvalue()  # type: ignore[attr-defined]
        assert finished.metrics.stat().st_mtime_ns == before

    def test_it_learns(self, make_settings: Settings, tmp_path: Path, console: Console) -> None:
        training = {"steps": 300, "interval": 150, "batch": 32, "masking_rate": 0.3, "learning_rate": 0.01}
        settings = make_settings(**training, warmup=0.3, hidden=24, heads=2, intermediate=48, layers=2)
        folder = pretrain(settings, tmp_path / "out", console)
        first, last = history_of(folder)
        assert last["test_loss"] < first["test_loss"] < np.log(18)
        assert last["masked_accuracy"] > 0.5, "most can be told from the noun or the verb"
        output = console.file.getvalue()  # type: ignore[attr-defined]
        assert "parameters" in output and "tokens/s" in output and "waiting for data" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"precision": "bfloat16"}, {"whole_words": True, "masking_rate": 0.3}, {"positions": 20}]
)
def test_variants(changes: dict[str, Any], make_settings: Settings, tmp_path: Path, console: Console) -> None:
    folder = pretrain(make_settings(steps=4, **changes), tmp_path / "out", console)
    assert np.isfinite(losses(folder)).all()
    stored = json.loads((folder.model / "config.json").read_text())["config"]
    assert stored["max_sequence_length"] == changes.get("positions", 11) and "bfloat16" not in str(stored["dtype"])
    assert stored["dropout"] == 0.1, "for fine-tuning"


@pytest.mark.slow
def test_a_batch_in_parts_is_the_same_batch(make_settings: Settings, tmp_path: Path, console: Console) -> None:
    whole = pretrain(make_settings(clip_norm=0.1), tmp_path / "whole", console)
    parts = pretrain(make_settings(clip_norm=0.1, accumulate=4), tmp_path / "parts", console)
    assert np.abs(losses(whole) - losses(parts)).max() < 1e-5


class TestInterrupted:
    def assert_same(self, one: PretrainingDir, other: PretrainingDir, weights_of: Any) -> None:
        left, right = weights_of(one.model), weights_of(other.model)
        assert left and left.keys() == right.keys()
        assert [name for name in left if not np.array_equal(left[name], right[name])] == []
        figures = [[[entry[name] for name in FIGURES] for entry in history_of(each)] for each in (one, other)]
        assert figures[0] == figures[1]

    @pytest.mark.slow
    def test_between_two_evaluations(
        self,
        finished: PretrainingDir,
        make_settings: Settings,
        tmp_path: Path,
        console: Console,
        weights_of: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        show = PretrainingProgress.on_train_batch_end

        def stop(self: PretrainingProgress, batch: int, logs: dict[str, Any] | None = None) -> None:
            show(self, batch, logs)
            if self.done == 7:
                raise KeyboardInterrupt

        settings, folder = make_settings(dropout=0.2), PretrainingDir(tmp_path / "out")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(PretrainingProgress, "on_train_batch_end", stop)
            pretrain(settings, folder.path, console)
        assert folder.training_state.exists() and not folder.is_done and not folder.model.exists()
        pretrain(settings, folder.path, console)
        assert "resumed after training step 4 of 10" in console.file.getvalue()  # type: ignore[attr-defined]
        assert not folder.training_state.exists()
        self.assert_same(folder, finished, weights_of)

    @pytest.mark.slow
    def test_after_the_last_update(
        self,
        make_settings: Settings,
        tmp_path: Path,
        console: Console,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        settings, folder = make_settings(steps=2), PretrainingDir(tmp_path / "out")

        def killed(*arguments: Any) -> list[str]:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("power_bert.pretrain.run_pretraining.write_outputs", killed)
            pretrain(settings, folder.path, console)
        assert folder.training_state.exists() and not folder.is_done
        pretrain(settings, folder.path, console)
        assert folder.is_done and [entry["step"] for entry in history_of(folder)] == [2]

    @pytest.mark.slow
    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of POSIX")
    def test_killed(
        self, make_settings: Settings, tmp_path: Path, project_root: Path, weights_of: Any, tiny_corpus: Corpus
    ) -> None:
        folders = [PretrainingDir(tmp_path / name) for name in ("killed", "whole")]
        settings = {"layers": 1, "hidden": 8, "heads": 2, "steps": 300, "interval": 50, "batch": 4, "dropout": 0.1}
        config = tmp_path / "tiny.toml"
        config.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        environment = {**os.environ, "PYTHONPATH": str(project_root / "code")}

        def start(folder: PretrainingDir) -> subprocess.Popen[bytes]:
            options = ["--config", str(config), "--corpus", str(tiny_corpus.folder), "--out", str(folder.path)]
            command = [sys.executable, "-m", "power_bert", "pretrain", *options]
            return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

        for rows in (2, 4):
            process = start(folders[0])
            while not (folders[0].metrics_csv.exists() and len(folders[0].metrics_csv.read_text().splitlines()) > rows):
                assert process.poll() is None, "ended before it could be killed"
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not folders[0].is_done
        for folder in folders:
            assert start(folder).wait(timeout=600) == 0
        self.assert_same(*folders, weights_of)


class TestBadInput:
    def test_no_corpus(self, make_settings: Settings, tmp_path: Path, console: Console) -> None:
        with pytest.raises(UserError, match=r"no prepared corpus .*prepare-corpus"):
            pretrain(make_settings(corpus=str(tmp_path)), tmp_path / "out", console)
        assert not (tmp_path / "out").exists()

    def test_a_length_over_the_positions(self, make_settings: Settings, tmp_path: Path, console: Console) -> None:
        with pytest.raises(UserError, match=r"positions=10, but .* has records of 11 tokens"):
            pretrain(make_settings(positions=10), tmp_path / "out", console)

    @pytest.mark.parametrize("side", [pytest.param("train", marks=pytest.mark.slow), "test"])
    def test_a_corrupt_shard(
        self, side: Any, make_settings: Settings, tiny_corpus: Corpus, tmp_path: Path, console: Console
    ) -> None:
        corpus = tmp_path / "corpus"
        shutil.copytree(tiny_corpus.folder, corpus)
        path = shard_path(corpus, tiny_corpus.side(side)[-1].name)
        path.write_bytes(path.read_bytes()[:-2] + b"\x01\x00")
        with pytest.raises(UserError, match=f"{path}: the shard is corrupt"):
            pretrain(make_settings(corpus=str(corpus)), tmp_path / "out", console)

    def test_another_pretraining(self, finished: PretrainingDir, make_settings: Settings, console: Console) -> None:
        with pytest.raises(UserError, match=r"another pre-training \(hidden: 12 there, 24 now\); choose another --out"):
            pretrain(make_settings(dropout=0.2, hidden=24), finished.path, console)

    def test_another_corpus(
        self, finished: PretrainingDir, make_settings: Settings, tmp_path: Path, console: Console
    ) -> None:
        folder = tmp_path / "out"
        shutil.copytree(finished.path, folder)
        environment = json.loads((folder / "environment.json").read_text())
        environment["corpus"]["shards"][0] = "0"
        (folder / "environment.json").write_text(json.dumps(environment))
        with pytest.raises(UserError, match="begun with another corpus"):
            pretrain(make_settings(dropout=0.2), folder, console)

    def test_some_other_folder(self, make_settings: Settings, tmp_path: Path, console: Console) -> None:
        (tmp_path / "thesis.tex").write_text("mine")
        with pytest.raises(UserError, match=r"no pre-training \(no settings\.json\); choose another --out"):
            pretrain(make_settings(), tmp_path, console)

    def test_too_many_devices(self, make_settings: Settings, tmp_path: Path, console: Console) -> None:
        with pytest.raises(UserError, match="devices=8, but there are"):
            pretrain(make_settings(devices=8), tmp_path / "out", console)

    @pytest.mark.slow
    def test_a_full_disk(
        self, make_settings: Settings, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*arguments: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        settings, folder = make_settings(steps=2, interval=1), PretrainingDir(tmp_path / "out")
        for place, resumed in (("masked_lm_training.save_training_state", 0), ("outputs.write_hugging_face", 2)):
            with monkeypatch.context() as patch, pytest.raises(UserError, match=r"the disk is full \(\d+ MB free\)"):
                patch.setattr(f"power_bert.pretrain.{place}", full)
                pretrain(settings, folder.path, console)
            assert not folder.is_done and folder.training_state.exists() is (resumed > 0)
        pretrain(settings, folder.path, console)
        assert folder.is_done
        assert "resumed after training step 2 of 2" in console.file.getvalue()  # type: ignore[attr-defined]

    @pytest.mark.slow
    def test_the_loss_is_no_number(self, make_settings: Settings, tmp_path: Path, console: Console) -> None:
        settings = make_settings(warmup=0.0, weight_decay=1.0, clip_norm=1e6, steps=30)
        object.__setattr__(settings, "learning_rate", 1e30)  # out of every range
        with pytest.raises(UserError, match=r"the loss became (nan|inf) before training step \d+.*--learning-rate"):
            pretrain(settings, tmp_path / "out", console)
