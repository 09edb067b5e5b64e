"""Tests of power_bert.cli: what a user types, and what comes of a mistake."""

import dataclasses
import os
import re
import string
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from power_bert import cli
from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.model.checkpoints import BertArchitecture, Checkpoint, canonical_shapes, write_hugging_face
from power_bert.runs.run_dir import PHASES, RunDir
from power_bert.text.examples import read_examples
from run_sh_settings import RUN_SETTINGS

PROJECT_ROOT = Path(__file__).resolve().parents[1]
PROGRAM: Any = get_command(cli.app)
COMMANDS = tuple(PROGRAM.commands)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, "the", "cat", "sat", "."]


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a call of the command line ended."""

    code: int
    output: str
    errors: str


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RUN_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Calls `main` with arguments and environment variables; whatever is not a SystemExit would show a traceback."""

    def run(*arguments: str, **settings: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["power-bert", *arguments])
        code: Any = 0
        with monkeypatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            try:
                cli.main()
            except SystemExit as end:
                code = end.code or 0
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


def test_settings_of_run_sh_do_not_reach_the_runs_of_a_measurement(
    call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`run` would take them, and `distill` not: teachers and students would learn from different data."""
    environments: list[Mapping[str, str]] = []

    def run(arguments: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
        environments.append(environment)
        return 2, "error: no"

    monkeypatch.setattr("power_bert.child_processes.run_as_process", run)
    given = {**dict.fromkeys(RUN_SETTINGS, "1"), "KERAS_BACKEND": "tensorflow"}
    options = ("--students", "linear", "--ways", "distilled", "--seeds", "0", "--out", str(tmp_path / "out"))
    assert call("measure-distillation", f"emotion={tmp_path}", *options, **given).code == 1
    assert environments and not any(set(RUN_SETTINGS) & set(environment) for environment in environments)
    assert environments[0]["KERAS_BACKEND"] == "tensorflow"


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Experiment, bool]]:
    """The experiments that `run` is asked for; nothing is trained."""
    import power_bert.reports.finish_run
    import power_bert.runs.run_folder
    import power_bert.train.run_experiment

    asked: list[tuple[Experiment, bool]] = []

    def run_experiment(experiment: Experiment, resume: bool, predict_test: bool, baseline: bool) -> RunDir:
        asked.append((experiment, resume))
        return RunDir(Path(experiment.output_dir))

    monkeypatch.setattr(power_bert.train.run_experiment, "run_experiment", run_experiment)
    monkeypatch.setattr(power_bert.reports.finish_run, "finish_run", lambda run_dir: None)
    # Whatever lies in the default run folder of this checkout.
    monkeypatch.setattr(power_bert.runs.run_folder, "finished_run", lambda experiment, predict_test, baseline: None)
    return asked


class TestSettings:
    def test_defaults(self, call: Callable[..., Ended], resolved: list[tuple[Experiment, bool]]) -> None:
        assert call("run").code == 0
        assert resolved == [(resolve_experiment({}), True)]

    def test_variables_of_run_sh_reach_the_experiment(
        self, call: Callable[..., Ended], resolved: list[tuple[Experiment, bool]]
    ) -> None:
        settings = {
            **{"TASK": "mrpc", "DATA_DIR": "some/MRPC", "CHECKPOINT_PATH": "some/bert", "VOCAB_PATH": "v.txt"},
            **{"BERT_CONFIG_PATH": "c.json", "OUTPUT_DIR": "some/run", "EPOCH": "4", "BATCH_SIZE": "16"},
            **{"LR_SOFT_EXTRACT": "2e-3", "LR_BERT": "5e-5", "LAMBDA": "0.004", "MAX_LENGTH": "99", "SEED": "7"},
            **{
                "SPEEDUP": "",
                "SPEEDUP_BY": "latency",
                "MAX_LOSS": "",
                "WIDTH": "0",
                "SELF_DISTILL": "0",
                "QUANTIZATION_AWARE": "1",
                "EFFORT": "quick",
                "AUGMENT_COPIES": "0",
                "TRAIN_EXAMPLES": "500",
            },  # it excludes RETENTION_CONFIG
            **{"CASED": "1", "SIMILARITY": "cosine", "GATE": "scale", "RETENTION_UNIT": "tokens", "SEARCH_EPOCH": "2"},
            **{"RETENTION_PROFILE": "free", "RETENTION_JITTER": "0.1", "FUSE": "1"},
            **{"TEXT_COLUMNS": "", "LABEL_COLUMN": "", "LABELS": "", "METRIC": ""},
            **{"WARMUP": "0.2", "WEIGHT_DECAY": "0.02", "DROPOUT": "0.3", "RESUME": "0"},
            **{
                "RETENTION_CONFIG": "0.9, 0.5",
                "BASELINE": "0",
                "PRED_GLUE": "0",
                "EVAL_ONLY": "0",
                "PREDICT_ONLY": "0",
            },
        }
        assert set(settings) == set(RUN_SETTINGS)
        assert call("run", **settings).code == 0
        expected = Experiment(
            **{"task": "mrpc", "data_dir": os.path.abspath("some/MRPC"), "checkpoint_path": "some/bert"},
            **{"vocab_path": os.path.abspath("v.txt"), "bert_config_path": os.path.abspath("c.json")},
            **{"output_dir": os.path.abspath("some/run"), "epochs": 4, "batch_size": 16},
            **{"lr_soft_extract": 2e-3, "lr_bert": 5e-5, "regularization": 0.004},
            **{"max_length": 99, "seed": 7, "train_examples": 500},
            **{"cased": True, "similarity": "cosine", "gate": "scale", "retention_unit": "tokens", "search_epochs": 2},
            **{"retention_profile": "free", "retention_jitter": 0.1, "fuse": True},
            **{"warmup": 0.2, "weight_decay": 0.02, "dropout": 0.3, "retention_config": "0.9,0.5"},
            **{"speedup_by": "latency", "width": False, "self_distill": False, "augment_copies": 0, "effort": "quick"},
            quantization_aware=True,
        )
        assert resolved == [(expected, False)]

    def test_speedup(self, call: Callable[..., Ended], resolved: list[tuple[Experiment, bool]]) -> None:
        call("run", SPEEDUP="2.5")
        assert resolved == [(resolve_experiment({"speedup": 2.5}), True)]

    def test_settings_of_a_custom_task(
        self, call: Callable[..., Ended], resolved: list[tuple[Experiment, bool]], tmp_path: Path
    ) -> None:
        (tmp_path / "train.csv").write_text("id,text,topic\n0,a,yes\n1,b,no\n")
        call("run", TASK="custom", DATA_DIR=str(tmp_path), TEXT_COLUMNS="text", LABEL_COLUMN="topic", METRIC="macro_f1")
        experiment = resolved[0][0]
        assert (experiment.text_columns, experiment.label_column) == (("text",), "topic")
        assert (experiment.labels, experiment.metric) == (("no", "yes"), "macro_f1")

    def test_empty_variables_mean_the_defaults(
        self, call: Callable[..., Ended], resolved: list[tuple[Experiment, bool]]
    ) -> None:
        assert call("run", **dict.fromkeys(RUN_SETTINGS, "")).code == 0
        assert resolved == [(resolve_experiment({}), True)]

    def test_options_beat_variables(self, call: Callable[..., Ended], resolved: list[tuple[Experiment, bool]]) -> None:
        call("run", "--task", "cola", "--lambda", "0.5", "--no-resume", TASK="mrpc", LAMBDA="0.1", RESUME="1")
        assert resolved == [(resolve_experiment({"task": "cola", "regularization": 0.5}), False)]

    @pytest.mark.parametrize(
        ("text", "cased"),
        [("1", True), ("true", True), ("TRUE", True), ("0", False), ("false", False), ("auto", None), ("", None)],
    )
    def test_cased(
        self, text: str, cased: bool | None, call: Callable[..., Ended], resolved: list[tuple[Experiment, bool]]
    ) -> None:
        call("run", CASED=text)
        assert resolved[0][0].cased is cased

    def test_the_settings_of_run_sh_are_those_of_run(self) -> None:
        block = (PROJECT_ROOT / "run.sh").read_text(encoding="utf-8").split("# === End of the settings")[0]
        names = set(re.findall(r"^([A-Z_]+)=", block, flags=re.MULTILINE))
        assert names - {"BACKEND", "THREADS"} == set(RUN_SETTINGS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two blocks with 40 positions, constant weights."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    architecture = BertArchitecture(len(VOCABULARY), 2, 2, 4, 6, max_sequence_length=40)
    weights = {name: np.ones(shape, np.float32) for name, shape in canonical_shapes(architecture).items()}
    write_hugging_face(folder, Checkpoint("tiny", architecture, weights, vocabulary=VOCABULARY, lowercase=True))
    return folder


@dataclasses.dataclass(frozen=True)
class Setting:
    """Good input that a test spoils."""

    root: Path
    call_with: Callable[..., Ended]

    @property
    def data(self) -> Path:
        return self.root / "CoLA"

    @property
    def run(self) -> Path:
        return self.root / "run"

    def fails(self, *expected: str, **changes: str) -> Ended:
        """The call ends with code 2, says on stderr all that is expected, in one line, and makes no run folder."""
        settings = {"DATA_DIR": str(self.data), "OUTPUT_DIR": str(self.run), "MAX_LENGTH": "16"}
        ended = self.call_with("run", **{**settings, **changes})
        assert ended.code == 2
        assert ended.errors.startswith("error: ")
        for part in expected:
            assert part in ended.errors
        assert "Traceback" not in ended.errors + ended.output
        return ended


@pytest.fixture
def setting(tmp_path: Path, checkpoint: Path, call: Callable[..., Ended]) -> Setting:
    rows = {
        "train": ["g\t1\t\tThe cat sat .", "g\t0\t*\tSat cat the ."],
        "dev": ["g\t1\t\tThe cat .", "g\t0\t*\tCat ."],
    }
    rows["test"] = ["index\tsentence", "0\tThe cat sat ."]
    (tmp_path / "CoLA").mkdir()
    for split, lines in rows.items():
        (tmp_path / "CoLA" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def call_with(*arguments: str, **settings: str) -> Ended:
        return call(*arguments, **{"CHECKPOINT_PATH": str(checkpoint), **settings})

    return Setting(tmp_path, call_with)


def _append(line: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n")

    return spoil


def _replace(data: bytes) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_bytes(data)

    return spoil


# name → file, how it is spoiled, what the message has beside the file's name
BAD_FILES: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...]]] = {
    "missing train": ("train.tsv", Path.unlink, ("no such file", "set DATA_DIR")),
    "missing dev": ("dev.tsv", Path.unlink, ("no such file", "set DATA_DIR")),
    "missing test": ("test.tsv", Path.unlink, ("no such file", "set DATA_DIR")),
    "columns": ("train.tsv", _append("g\t1\tThe cat"), ("line 3", "expected 4 columns", "found 3", "Correct")),
    "columns of test": ("test.tsv", _append("1\tThe\tcat"), ("line 3", "expected 2 columns", "found 3", "Correct")),
    "header of test": ("test.tsv", _replace(b"id\ttext\n0\tThe\n"), ("line 1", "'sentence'", "Correct")),
    "label": ("dev.tsv", _append("g\t2\t\tThe cat"), ("line 3", "unknown label '2'", "one of: 0, 1", "Correct")),
    "empty": ("dev.tsv", _replace(b""), ("the file is empty", "restore it")),
    "header only": ("test.tsv", _replace(b"index\tsentence\n"), ("no rows", "download")),
    "not UTF-8": ("train.tsv", _append("g\t1\t\tcaf\xe9"), ("line 3", "0xe9 is not UTF-8", "iconv")),
}


class TestBadInput:
    @pytest.mark.parametrize("name", BAD_FILES)
    def test_data(self, name: str, setting: Setting) -> None:
        file, spoil, expected = BAD_FILES[name]
        spoil(setting.data / file)
        setting.fails(str(setting.data / file), *expected)
        assert not setting.run.exists(), "a run that cannot begin leaves no trace"

    def test_missing_data_folder(self, setting: Setting) -> None:
        setting.fails("/nowhere: no such folder", "/nowhere/train.tsv", "set DATA_DIR", DATA_DIR="/nowhere")
        assert not setting.run.exists()

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"TASK": "colla"}, ("'colla'", "Did you mean 'cola'?", "sts-b")),
            ({"TASK": "imagenet"}, ("'imagenet'", "Expected one of: cola")),
            ({"LAMBDA": "-0.5"}, ("LAMBDA=-0.5", "expected λ from 0")),
            ({"LR_BERT": "nan"}, ("LR_BERT=nan", "expected a learning rate")),
            ({"LR_SOFT_EXTRACT": "inf"}, ("LR_SOFT_EXTRACT=inf", "expected a learning rate")),
            ({"EPOCH": "0"}, ("EPOCH=0", "expected a whole number of epochs from 1")),
            ({"BATCH_SIZE": "0"}, ("BATCH_SIZE=0", "expected 1 to 4096")),
            ({"SEED": "-1"}, ("SEED=-1", "expected a whole number")),
            ({"GATE": "door"}, ("GATE='door'", "visibility, scale")),
            ({"SIMILARITY": "dots"}, ("SIMILARITY='dots'", "dot, cosine, euclidean, gaussian")),
            ({"RETENTION_UNIT": "words"}, ("RETENTION_UNIT='words'", "fraction, tokens")),
            ({"CASED": "maybe"}, ("CASED='maybe'", "1 (cased), 0 (uncased) or auto")),
            ({"MAX_LENGTH": "4"}, ("MAX_LENGTH=4", "expected 5 to 4096")),
            ({"MAX_LENGTH": "41"}, ("MAX_LENGTH=41", "40 positions", "set MAX_LENGTH to 40 or less")),
        ],
    )
    def test_settings(self, settings: Mapping[str, str], expected: tuple[str, ...], setting: Setting) -> None:
        setting.fails(*expected, **settings)
        assert not setting.run.exists()

    def test_vocabulary_of_another_checkpoint(self, setting: Setting) -> None:
        vocabulary = setting.root / "vocab.txt"
        vocabulary.write_text("\n".join([*VOCABULARY, *(f"word{i}" for i in range(9))]) + "\n", encoding="utf-8")
        expected = (f"{vocabulary} has {len(VOCABULARY) + 9} tokens", f"{len(VOCABULARY)} rows", "use the vocab.txt")
        setting.fails(*expected, VOCAB_PATH=str(vocabulary))
        assert not setting.run.exists()

    def test_vocabulary_without_special_tokens(self, setting: Setting) -> None:
        vocabulary = setting.root / "vocab.txt"
        vocabulary.write_text("\n".join(VOCABULARY[3:]) + "\n", encoding="utf-8")
        setting.fails(str(vocabulary), "[CLS], [PAD], [UNK]", "use the vocab.txt", VOCAB_PATH=str(vocabulary))

    def test_vocabulary_is_not_there(self, setting: Setting) -> None:
        setting.fails("/nowhere/vocab.txt", "cannot be read", "check the path", VOCAB_PATH="/nowhere/vocab.txt")
        assert not setting.run.exists()

    def test_configuration_is_not_there(self, setting: Setting) -> None:
        setting.fails("/nowhere/bert_config.json", BERT_CONFIG_PATH="/nowhere/bert_config.json")

    @pytest.mark.parametrize("path", ["/nowhere/bert_model.ckpt", "no/such/folder", "bert_tiny_fr_uncased"])
    def test_checkpoint_is_nothing(self, path: str, setting: Setting) -> None:
        setting.fails(path, "Expected one of:", "hf://owner/name", CHECKPOINT_PATH=path)
        assert not setting.run.exists()

    def test_checkpoint_folder_without_a_checkpoint(self, setting: Setting) -> None:
        setting.fails(str(setting.data), "Expected one of:", CHECKPOINT_PATH=str(setting.data))

    def test_output_is_a_file(self, setting: Setting) -> None:
        setting.run.write_text("mine")
        setting.fails(f"OUTPUT_DIR={setting.run} is a file", "expected a folder")
        assert setting.run.read_text() == "mine"

    def test_output_lies_below_a_file(self, setting: Setting) -> None:
        below = setting.data / "train.tsv" / "run"
        setting.fails(f"OUTPUT_DIR={below} cannot be written", "choose another folder", OUTPUT_DIR=str(below))

    @pytest.mark.parametrize("resume", ["0", "1"])
    @pytest.mark.parametrize("file", ["thesis.tex", "config.json"])  # checkpoints have a config.json too
    def test_output_is_some_other_folder(self, file: str, resume: str, setting: Setting) -> None:
        setting.run.mkdir()
        (setting.run / file).write_text('{"model_type": "bert"}')
        setting.fails(f"OUTPUT_DIR={setting.run} is not empty", "choose another OUTPUT_DIR", RESUME=resume)
        assert {entry: entry.read_text() for entry in setting.run.iterdir()} == {
            setting.run / file: '{"model_type": "bert"}'
        }

    def test_output_of_another_run(self, setting: Setting, checkpoint: Path) -> None:
        settings = {"data_dir": str(setting.data), "checkpoint_path": str(checkpoint), "output_dir": str(setting.run)}
        experiment = resolve_experiment(settings | {"max_length": 16, "regularization": 0.5})
        run = RunDir(setting.run)
        run.phase(PHASES[0]).path.mkdir(parents=True)
        run.config.write_text(experiment.to_json(), encoding="utf-8")
        setting.fails(f"OUTPUT_DIR={setting.run} holds another run", "regularization: 0.5 there, 0.007 now", "RESUME=0")
        run.config.write_text("{", encoding="utf-8")
        setting.fails(str(run.config), "line 1", "not valid JSON")

    def test_bad_input_does_not_set_an_older_run_aside(self, setting: Setting) -> None:
        run = RunDir(setting.run)
        run.phase(PHASES[0]).mark_done()
        run.config.write_text(resolve_experiment({}).to_json(), encoding="utf-8")
        (setting.data / "test.tsv").unlink()
        setting.fails("no such file", RESUME="0")
        assert run.phase(PHASES[0]).is_done
        assert sorted(entry.name for entry in setting.root.iterdir()) == ["CoLA", "run"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--epoch", "abc"], ("'--epoch'", "integer")),
        (["run", "--lambda", "1,5"], ("'--lambda'", "number")),
        (["run", "--lamda", "1"], ("No such option: --lamda",)),
        (["fly"], ("No such command 'fly'",)),
        (["summary"], ("Missing argument",)),
    ],
)
def test_usage_errors(arguments: list[str], expected: tuple[str, ...], call: Callable[..., Ended]) -> None:
    ended = call(*arguments)
    assert ended.code == 2
    assert all(part in ended.errors for part in (*expected, "--help"))


def test_a_variable_that_is_no_number_is_named(call: Callable[..., Ended]) -> None:
    ended = call("run", EPOCH="abc")
    assert ended.code == 2 and "'EPOCH'" in ended.errors and "integer" in ended.errors


class TestHelp:
    def test_the_program(self, call: Callable[..., Ended]) -> None:
        ended = call("--help")
        assert ended.code == 0 and all(command in ended.output for command in COMMANDS)
        assert {"run", "summary", "benchmark", "fetch", "sample"} <= set(COMMANDS)
        assert [title in ended.output for title in cli.COMMANDS] == [True] * len(cli.COMMANDS)

    def test_the_version(self, call: Callable[..., Ended]) -> None:
        assert re.fullmatch(r"power-bert \d+\.\d+\.\d+\n", call("--version").output)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_command_shows_an_example(self, command: str, call: Callable[..., Ended]) -> None:
        ended = call(command, "--help")
        assert ended.code == 0
        assert re.search(r"Examples?:", ended.output) and re.search(r"power-bert [a-z]", ended.output)
        assert "bash run.sh" not in re.sub('EXTRAS=([a-z]+|"[a-z ]+") bash run.sh', "", ended.output)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_names_are_whole_and_examples_can_be_pasted_at_80_columns(
        self, command: str, call: Callable[..., Ended]
    ) -> None:
        shown, known = call(command, "--help", COLUMNS="80").output, PROGRAM.commands[command]
        assert max(map(len, shown.splitlines())) <= 80
        for param in known.params:
            for name in (*param.opts, *param.secondary_opts) if param.param_type_name == "option" else ():
                assert re.search(rf"(?m)^ (?:--?[\w-]+(?:,| /) )*{name}(?= |$)", shown), name
        lines = re.sub(r" \\ *\n +", " ", shown).splitlines()
        for example in re.findall(r"(?m)^    (.+(?:\n    --.+)*)", known.help):
            assert " ".join(example.split()) in map(str.strip, lines)

    def test_run_names_all_settings(self, call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        output = " ".join(call("run", "--help").output.split())
        assert [name for name in RUN_SETTINGS if not re.search(rf"env var: {name}\b", output)] == []


class TestSample:
    def test_writes_a_data_set_that_can_be_read(self, call: Callable[..., Ended], tmp_path: Path) -> None:
        ended = call("sample", str(tmp_path / "CoLA"))
        assert ended.code == 0 and str(tmp_path / "CoLA") in ended.output.replace("\n", "")
        task = resolve_experiment({}).task_definition
        sizes = [len(read_examples(task, split, tmp_path / "CoLA")) for split in ("train", "dev", "test")]
        assert sizes[0] > sizes[1] > 0 and sizes[2] > 0

    def test_seed(self, call: Callable[..., Ended], tmp_path: Path) -> None:
        for folder, seed in (("a", "3"), ("b", "3"), ("c", "4")):
            call("sample", str(tmp_path / folder), "--seed", seed)
        first, again, other = ((tmp_path / folder / "train.tsv").read_bytes() for folder in "abc")
        assert first == again != other


@pytest.mark.parametrize("command", ["summary", "benchmark"])
def test_commands_on_a_folder_that_is_no_run(command: str, call: Callable[..., Ended], tmp_path: Path) -> None:
    ended = call(command, str(tmp_path))
    assert ended.code == 2 and str(tmp_path / "config.json") in ended.errors and "finished run" in ended.errors


def test_interruption_says_how_to_go_on(call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    import power_bert.train.run_experiment

    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(power_bert.train.run_experiment, "run_experiment", interrupted)
    ended = call("run")
    assert ended.code == 130 and "the same command goes on" in ended.errors


def test_the_program_as_a_process() -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "code"), "TASK": "colla", "PYTHONUTF8": "1"}
    arguments = [sys.executable, "-m", "power_bert", "run"]
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and ended.stdout == ""
    assert (
        ended.stderr.startswith("error: Unknown task 'colla'. Did you mean 'cola'?") and ended.stderr.count("\n") == 1
    )
