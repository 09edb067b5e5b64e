"""Commands for data, pre-training and series of runs: what they refuse before any work is done, what they pass on."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from power_bert.config.experiment import SAMPLE_FOLDER, resolve_experiment
from power_bert.config.pretraining import resolve_settings
from power_bert.folders import DEFAULT_CHECKPOINT, GLUE_FOLDER

Refused = Callable[..., str]
Call = Callable[..., tuple[int, str]]
Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]
StandIn = Callable[..., Calls]


class TestFetchAndDownload:
    def test_fetch(self, call: Call, stand_in: StandIn, tmp_path: Path) -> None:
        fetched = stand_in("power_bert.model.checkpoints.download.fetch_minilm", "folder")
        assert call("fetch") == call("fetch", tmp_path) == (0, "folder is complete\n")
        assert [arguments[0] for arguments, _ in fetched] == [DEFAULT_CHECKPOINT, tmp_path]

    def test_download(self, call: Call, stand_in: StandIn, tmp_path: Path) -> None:
        done = stand_in("power_bert.glue.glue_download.download_glue")
        call("download", "mnli-m", "ax")
        call("download", "rte", "--to", tmp_path, "--mirror", "http://localhost/x", "--wait")
        assert [(*arguments[:2], *arguments[4:]) for arguments, _ in done] == [
            (["mnli-m", "ax"], GLUE_FOLDER, None, False),
            (["rte"], tmp_path, "http://localhost/x", True),
        ]

    def test_sample(self, call: Call, stand_in: StandIn) -> None:
        written = stand_in("power_bert.text.sample.sample_sentences.write_sample")
        assert call("sample")[0] == 0
        assert written == [((SAMPLE_FOLDER / "acceptability",), {"seed": 0})]


class TestCorpus:
    @pytest.fixture
    def text(self, tmp_path: Path) -> Path:
        words = ("the cat sat on the mat", "a dog ran in the park", "the sun is warm", "rain falls on a roof")
        (tmp_path / "text.txt").write_text("\n\n".join(f"{word} {number}" for number in range(40) for word in words))
        return tmp_path / "text.txt"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--test-share", "1"), "--test-share 1.0: expected a fraction from 0 to below 1"),
            (("--proportion", "0"), "--proportion 0.0: expected a fraction above 0 and up to 1"),
            (("--seed", "-1"), "--seed -1: expected a whole number from 0"),
            (("--max-document-characters", "0"), "--max-document-characters 0: expected a number from 1"),
            (("--document-separator", "page"), "--document-separator"),
        ],
    )
    @pytest.mark.parametrize("command", ["train-vocab", "prepare-corpus"])
    def test_bad_options_write_nothing(
        self, command: str, options: tuple[str, str], message: str, text: Path, refused: Refused
    ) -> None:
        vocabulary = ("--vocab", text.with_name("vocab.txt")) if command == "prepare-corpus" else ()
        out = ("--out", text.with_name("made"))
        assert refused(command, text, *vocabulary, *out, *options).startswith(message)
        assert list(text.parent.iterdir()) == [text]

    def test_a_vocabulary_and_its_corpus(self, text: Path, call: Call, refused: Refused) -> None:
        vocabulary, corpus = text.with_name("vocab.txt"), text.with_name("corpus")
        split = ("--test-share", "0.2", "--seed", "5")
        status, output = call("train-vocab", text, "--size", "400", "--out", vocabulary, *split)
        tokens = vocabulary.read_text().split()
        assert status == 0 and f"wrote {vocabulary}: {len(tokens)} tokens" in output
        assert "(the text has no more; --size was 400)" in output and "[MASK]" in tokens
        message = refused("prepare-corpus", text, "--vocab", vocabulary, "--out", corpus, "--test-share", "0.5")
        assert str(vocabulary) in message and not corpus.exists(), "it would be tested on what it was trained on"
        options = ("--length", "16", "--workers", "1", *split)
        status, output = call("prepare-corpus", text, "--vocab", vocabulary, "--out", corpus, *options)
        assert status == 0 and f"{corpus}: records of 16 tokens" in output
        documents = re.findall(r"(train|test) +(\d+) documents", output)
        assert [side for side, _ in documents] == ["train", "test"] and sum(int(count) for _, count in documents) == 160
        assert call("verify", corpus)[1].endswith(f"{corpus}: no faults\n")


class TestPretrain:
    @pytest.fixture
    def trained(self, stand_in: StandIn) -> Calls:
        return stand_in("power_bert.pretrain.run_pretraining.pretrain")

    def test_options_beat_the_file_and_the_file_beats_the_defaults(
        self, call: Call, trained: Calls, tmp_path: Path
    ) -> None:
        (tmp_path / "mine.toml").write_text('corpus = "/corpus"\nlayers = 4\nsteps = 50\nwhole_words = true\n')
        config = ("--config", tmp_path / "mine.toml", "--out", tmp_path / "out")
        call("pretrain", *config, "--steps", "9", "--word-pieces", "--wandb", "project")
        call("pretrain", "--corpus", "/corpus", "--out", tmp_path / "out")
        (settings, *_), (usual, *_) = (arguments for arguments, _ in trained)
        assert settings == resolve_settings({"corpus": "/corpus", "layers": 4, "steps": 9, "whole_words": False})
        assert usual == resolve_settings({"corpus": "/corpus"})
        assert [options for _, options in trained] == [{"wandb": "project"}, {"wandb": None}]

    @pytest.mark.parametrize(
        ("content", "options", "message"),
        [
            ("layres = 2\n", (), "mine.toml: unknown settings layres; known are corpus, layers"),
            ("layers = 2\n", (), "no corpus given; expected the folder of a prepared corpus"),
            ('corpus = "c"\nlayers = "2"\n', (), "layers='2': expected a whole number"),
            ('corpus = "c"\n', ("--steps", "0"), "steps=0 is out of range"),
            ('corpus = "c"\n', ("--hidden", "100", "--heads", "3"), "hidden=100 is not a multiple of heads=3"),
            ("layers = \n", (), "mine.toml: damaged, or not valid TOML"),
        ],
    )
    def test_bad_settings_leave_no_folder(
        self,
        content: str,
        options: tuple[str, ...],
        message: str,
        refused: Refused,
        trained: Calls,
        tmp_path: Path,
    ) -> None:
        (tmp_path / "mine.toml").write_text(content)
        text = refused("pretrain", "--config", tmp_path / "mine.toml", *options, "--out", tmp_path / "out")
        assert message in text and trained == []
        assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


class TestStudy:
    def test_what_cannot_be_a_study(self, refused: Refused, tmp_path: Path) -> None:
        assert refused("study", "absent.toml").startswith("absent.toml: no such file. With the program come recipes/")
        recipe, out = "recipes/similarity_width_small.toml", tmp_path / "out"
        message = refused("study", recipe, "--out", out, "--report-only")
        assert message.startswith(f"{out}: no study there") and message.endswith("leave --report-only out to run it")
        assert list(tmp_path.iterdir()) == []

    def test_failed_cells_end_with_status_1(self, call: Call, stand_in: StandIn, tmp_path: Path) -> None:
        ran = stand_in("power_bert.experiments.similarity_study.run_study.run_study", {"cell": "no disk"})
        stand_in("power_bert.experiments.similarity_study.study_results.read_results", [])
        reported = stand_in("power_bert.experiments.similarity_study.study_report.write_report", "the report")
        given = ("--out", tmp_path / "out", "--source", tmp_path, "--source", "more.txt", "--data-dir", tmp_path)
        status, output = call("study", "recipes/similarity_width_small.toml", *given, "--jobs", "2")
        assert status == 1 and "the report" in output
        ((definition, folder, _, jobs), _) = ran[0]
        assert (folder.path, jobs) == (tmp_path / "out", 2)
        assert list(definition.corpus.sources) == [str(tmp_path), str(Path("more.txt").absolute())]
        assert definition.fine_tuning.data_dir == str(tmp_path)
        assert reported[0][0][3] == {"cell": "no disk"}


class TestPareto:
    def test_the_runs_have_the_settings_of_run_but_for_target_seed_and_folder(
        self, call: Call, stand_in: StandIn, tmp_path: Path
    ) -> None:
        asked = stand_in("power_bert.experiments.pareto.run_targets", ["runs"])
        written = stand_in("power_bert.experiments.pareto.write_front", "the front")
        options = ("--targets", "2,3.5", "--seeds", "4, 5", "--max-loss", "0.5", "--epoch", "2", "--out", tmp_path)
        environment = {"TASK": "mrpc", "EPOCH": "9", "LR_BERT": "1e-4", "SPEEDUP": "7", "SEED": "8", "OUTPUT_DIR": "x"}
        status, output = call("pareto", *options, **environment)
        assert status == 0 and "the front" in output and written[0][0] == (tmp_path, ["runs"], "f1", 0.5)
        experiment_of, targets, seeds, out, _ = asked[0][0]
        assert (targets, seeds, out) == ([2.0, 3.5], [4, 5], tmp_path)
        expected = {"task": "mrpc", "epochs": 2, "lr_bert": 1e-4, "speedup": 3.5, "seed": 4, "output_dir": "/there"}
        assert experiment_of(3.5, 4, Path("/there")) == resolve_experiment(expected)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--targets", "2,x"), "--targets 2,x: expected numbers separated by commas"),
            (("--seeds", "0.5"), "--seeds 0.5: expected whole numbers separated by commas"),
        ],
    )
    def test_bad_lists(self, options: tuple[str, str], message: str, refused: Refused, tmp_path: Path) -> None:
        assert refused("pareto", *options, "--out", tmp_path / "out").startswith(message)
        assert list(tmp_path.iterdir()) == []


def test_proof_points_pass_their_settings_on(call: Call, stand_in: StandIn, tmp_path: Path) -> None:
    proved = stand_in("power_bert.experiments.proof_points.prove")
    (tmp_path / "proof_points.txt").write_text("the table")
    options = ("--data-dir", "/d", "--max-length", "32", "--timed-runs", "5", "--out", tmp_path)
    status, output = call("proof-points", "run1", *options, TASK="mrpc", EPOCH="2", SEED="3", LR_BERT="", DATA_DIR="/e")
    assert status == 0 and "the table" in output
    ((settings, runs, out, timed_runs, _), _) = proved[0]
    assert (runs, out, timed_runs) == (["run1"], tmp_path, 5)
    given = {"task": "mrpc", "data_dir": "/d", "epochs": 2, "max_length": 32, "seed": 3}
    assert settings == {**given, "lr_bert": None, "checkpoint_path": None}


def test_compress_changes_only_what_is_given(call: Call, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in("power_bert.reports.finish_run.finish_with_card")
    compressed = stand_in("power_bert.experiments.student_compression.compress", SimpleNamespace())
    call("compress", "RUN", "--sparsity", "0.8", "--block", "1x16", "--out", tmp_path / "small", "--quantize", "int8")
    ((run, changes, quantize, resume), _) = compressed[0]
    assert (run, quantize, resume) == (Path("RUN"), "int8", True)
    given = {"output_dir": str(tmp_path / "small"), "sparsity": 0.8, "block": "1x16"}
    assert changes == {**given, **dict.fromkeys(("data_dir", "clusters", "epochs", "learning_rate"))}


@pytest.mark.parametrize(("command", "rows"), [("reading", "0"), ("predicting", "-1")])
def test_generated_data_have_at_least_one_row(command: str, rows: str, call: Call) -> None:
    status, output = call(f"benchmark-{command}", "--rows", rows)
    assert status == 2 and "--rows" in output


def test_reading_speed_takes_the_given_vocabulary(call: Call, stand_in: StandIn, tmp_path: Path) -> None:
    fetched = stand_in("power_bert.model.checkpoints.download.fetch_minilm", tmp_path)
    measured = stand_in("power_bert.benchmarks.reading_speed.measure_reading")
    stand_in("power_bert.benchmarks.reading_speed.reading_table", "the table")
    assert "the table" in call("benchmark-reading", "--rows", "9", "--vocab-path", "mine.txt")[1] and fetched == []
    assert "the table" in call("benchmark-reading")[1] and len(fetched) == 1
    assert [arguments[:2] for arguments, _ in measured] == [(9, Path("mine.txt")), (400_000, tmp_path / "vocab.txt")]
