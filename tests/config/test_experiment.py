"""Tests of power_bert.config.experiment."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.experiment import SAMPLE_FOLDER, Experiment, resolve_experiment
from power_bert.config.settings import declared_settings
from power_bert.elimination.retention import Retention
from power_bert.elimination.retention_choice import parse_retention_choice
from power_bert.errors import UserError
from power_bert.folders import GLUE_FOLDER, RUNS_FOLDER
from power_bert.text.glue_tasks import get_task
from power_bert.text.labeled_sets import SAMPLE

# Goyal et al. 2020: maximum length, LR_BERT, LR_SOFT_EXTRACT, LAMBDA, BATCH_SIZE.
PAPER = {
    "cola": (64, 2e-5, 1.5e-3, 7e-3, 32),
    "sst-2": (64, 3e-5, 5e-4, 2e-4, 64),
    "mrpc": (128, 6e-5, 3e-3, 3e-3, 64),
    "sts-b": (64, 3e-5, 3e-3, 1e-3, 64),
}


LARGE, SMALL = {"hidden_size": 768}, {"hidden_size": 384}


def write_checkpoint(folder: Path, name: str, config: dict[str, Any]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(config))
    (folder / "bert_model.ckpt.index").touch()
    return str(folder)


@pytest.mark.parametrize("task", PAPER)
def test_defaults_of_a_task_are_the_papers(task: str, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, "config.json", LARGE)
    experiment = resolve_experiment({"task": task, "data_dir": "some/folder", "checkpoint_path": checkpoint})
    assert PAPER[task] == (
        experiment.max_length,
        experiment.lr_bert,
        experiment.lr_soft_extract,
        experiment.regularization,
        experiment.batch_size,
    )
    assert experiment.task_definition.name == task


class TestSmallEncoders:
    @pytest.mark.parametrize(
        ("name", "config", "is_small"),
        [
            ("config.json", SMALL, True),
            ("config.json", {"hidden_size": 512}, True),
            ("config.json", {"hidden_size": 513}, False),
            ("config.json", {"class_name": "BertBackbone", "config": {"hidden_dim": 128}}, True),
            ("config.json", {"class_name": "BertBackbone", "config": {"hidden_dim": 1024}}, False),
            ("config.json", {}, False),
            ("bert_config.json", SMALL, True),
            ("bert_config.json", LARGE, False),
        ],
        ids=str,
    )
    def test_they_have_another_rate_and_batch_size(
        self, name: str, config: dict[str, Any], is_small: bool, tmp_path: Path
    ) -> None:
        folder = write_checkpoint(tmp_path / "encoder", name, config)
        for checkpoint in (folder, f"{folder}/bert_model.ckpt", f"{folder}/bert_model.ckpt.index"):
            experiment = resolve_experiment({"task": "mrpc", "checkpoint_path": checkpoint})
            assert (experiment.lr_bert, experiment.batch_size) == ((1e-4, 32) if is_small else (6e-5, 64))

    def test_the_configuration_can_be_elsewhere(self, tmp_path: Path) -> None:
        checkpoint = write_checkpoint(tmp_path / "encoder", "bert_config.json", LARGE)
        elsewhere = write_checkpoint(tmp_path / "other", "small.json", SMALL) + "/small.json"
        given = {"task": "mrpc", "checkpoint_path": checkpoint, "bert_config_path": elsewhere}
        assert resolve_experiment(given).batch_size == 32

    @pytest.mark.parametrize("checkpoint", ["hf://owner/name", "bert_tiny_en_uncased", "absent/bert_model.ckpt"])
    def test_nothing_is_fetched_for_it(self, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_checkpoint(tmp_path / "here", "config.json", SMALL)
        monkeypatch.chdir(tmp_path / "here")
        assert resolve_experiment({"task": "mrpc", "checkpoint_path": checkpoint}).batch_size == 64

    def test_small_batches_of_a_task_stay_and_given_values_count(self) -> None:
        assert resolve_experiment({"task": "rte"}).batch_size == 16
        given = {"task": "mrpc", "lr_bert": 3e-5, "batch_size": 64}
        experiment = resolve_experiment(given)
        assert (experiment.lr_bert, experiment.batch_size) == (3e-5, 64)


def test_nothing_given_is_the_embedded_default() -> None:
    experiment = resolve_experiment({})
    assert (experiment.task, experiment.epochs, experiment.search_epochs, experiment.seed) == (SAMPLE, 3, 3, 0)
    assert Path(experiment.data_dir).parts[-3:] == ("glue_data", "sample", "acceptability")
    assert Path(experiment.checkpoint_path).name == "all-MiniLM-L6-v2"
    assert Path(experiment.output_dir) == RUNS_FOLDER / SAMPLE / "sample-acceptability-all-MiniLM-L6-v2"
    assert experiment.cased is None and experiment.dropout is None
    # The sample is small and must be learned faster than CoLA.
    assert (experiment.lr_bert, experiment.lr_soft_extract, experiment.regularization) == (1e-4, 3e-3, 7e-3)
    assert resolve_experiment({"lr_bert": 2e-5}).lr_bert == 2e-5


def test_given_values_beat_the_defaults_and_empty_ones_do_not() -> None:
    settings = {"task": "mrpc", "epochs": 5, "lr_bert": 4e-5, "batch_size": "", "regularization": None}
    experiment = resolve_experiment(settings)
    assert (experiment.epochs, experiment.lr_bert) == (5, 4e-5)
    assert (experiment.batch_size, experiment.regularization) == (32, 3e-3)


@pytest.mark.parametrize(("given", "expected"), [({"epochs": 7}, 7), ({"epochs": 7, "search_epochs": 2}, 2)])
def test_the_search_takes_as_many_epochs_as_the_others(given: dict[str, Any], expected: int) -> None:
    assert resolve_experiment(given).search_epochs == expected


@pytest.mark.parametrize(
    ("given", "epochs", "copies"),
    [
        ({}, 3, 0),
        ({"effort": "quick", "speedup": 2.0}, 1, 0),
        ({"effort": "thorough"}, 5, 0),  # nothing labels augmented texts
        ({"effort": "thorough", "speedup": 2.0}, 5, 2),
        ({"effort": "thorough", "speedup": 2.0, "epochs": 2, "augment_copies": 0}, 2, 0),
        ({"self_distill": True, "augment_copies": 4}, 3, 4),
    ],
)
def test_effort_stands_for_several_settings(given: dict[str, Any], epochs: int, copies: int) -> None:
    experiment = resolve_experiment(given)
    assert (experiment.epochs, experiment.augment_copies) == (epochs, copies)


def test_augmented_texts_need_a_teacher() -> None:
    with pytest.raises(UserError, match="AUGMENT_COPIES=3 with SELF_DISTILL=0: nothing would label"):
        resolve_experiment({"augment_copies": 3})


def test_a_given_retention_configuration(tmp_path: Path) -> None:
    assert resolve_experiment({"retention_config": "1.0, 0.8,0.25"}).retention_config == "1.0,0.8,0.25"
    path = tmp_path / "retention.json"
    path.write_text('{"retention": [1.0, 0.5, 0.125], "unit": "fraction"}')
    assert resolve_experiment({"retention_config": str(path)}).retention_config == "1.0,0.5,0.125"
    path.write_text('{"retention": [64, 8, 1]}')
    assert resolve_experiment({"retention_config": str(path)}).retention_config == "64,8,1"
    for content in ("[1, 2]", '{"retention": "all"}', '{"masses": [1.0]}', '{"retention": ["1"]}', '{"retention": []}'):
        path.write_text(content)
        with pytest.raises(UserError, match=r'retention\.json: expected a JSON file with "tokens"'):
            resolve_experiment({"retention_config": str(path)})
    path.write_text('{"tokens": [1.0, 0.5, 0.0001], "heads": [2, 1, 1], "neurons": [64, 32, 32]}')
    with pytest.raises(UserError, match=r"also has heads and neurons.* give 1.0,0.5,0.0001; for all"):
        resolve_experiment({"retention_config": str(path)})
    assert parse_retention_choice(str(path), 3, 8) == Retention.parse("1.0,0.5,0.0001"), "of a narrowed model"
    path.write_text('{\n"retention": [1.0')
    with pytest.raises(UserError, match=r"retention\.json, line 2: not valid JSON.*Expected a JSON file"):
        resolve_experiment({"retention_config": str(path)})
    for choice, message in (
        ("none", "without elimination there is only phase 1 to train"),
        ("/nowhere/retention.json", "cannot be read .*; give a retention.json, or a configuration such as"),
    ):
        with pytest.raises(UserError, match=message):
            resolve_experiment({"retention_config": choice})
    with pytest.raises(UserError, match=r"SPEEDUP is a target of the search.*give one of them"):
        resolve_experiment({"retention_config": "0.5,0.25", "speedup": 2.0})


def test_zero_is_a_value_and_not_empty() -> None:
    experiment = resolve_experiment({"regularization": 0.0, "warmup": 0, "dropout": 0.0, "cased": False, "seed": 0})
    assert (experiment.regularization, experiment.warmup, experiment.dropout) == (0.0, 0, 0.0)
    assert experiment.cased is False


def test_other_data_or_checkpoint_is_another_run_folder() -> None:
    default, data, checkpoint, task = (
        resolve_experiment(given).output_dir
        for given in ({}, {"data_dir": "/data/CoLA"}, {"checkpoint_path": "hf://owner/name"}, {"task": "mrpc"})
    )
    assert len({default, data, checkpoint, task}) == 4
    assert Path(data).name == "data-CoLA-all-MiniLM-L6-v2"
    assert Path(checkpoint).name == "sample-acceptability-name"


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown settings epoch, lamda; known are augment_copies, .*regularization.*"):
        resolve_experiment({"lamda": 1, "epoch": 2})


def test_an_unknown_task_lists_the_tasks_and_suggests_one() -> None:
    with pytest.raises(UserError, match=r"'MRCP'\. Did you mean 'mrpc'\? Expected one of: cola, .*sts-b"):
        resolve_experiment({"task": "MRCP"})


OUT_OF_RANGE = [
    ("epochs", 0, "EPOCH=0"),
    ("epochs", -1, "EPOCH=-1"),
    ("search_epochs", 0, "SEARCH_EPOCH=0"),
    ("batch_size", 0, "BATCH_SIZE=0"),
    ("batch_size", 5000, "BATCH_SIZE=5000"),
    ("lr_bert", math.nan, "LR_BERT=nan"),
    ("lr_bert", math.inf, "LR_BERT=inf"),
    ("lr_bert", 0.0, r"LR_BERT=0\.0"),
    ("lr_bert", -2e-5, "LR_BERT=-2e-05"),
    ("lr_soft_extract", 2.0, r"LR_SOFT_EXTRACT=2\.0"),
    ("regularization", -0.1, r"LAMBDA=-0\.1"),
    ("regularization", math.nan, "LAMBDA=nan"),
    ("max_length", 4, "MAX_LENGTH=4"),
    ("train_examples", 0, "TRAIN_EXAMPLES=0"),
    ("seed", -1, "SEED=-1"),
    ("seed", 2**31, "SEED=2147483648"),
    ("warmup", 1.0, r"WARMUP=1\.0"),
    ("weight_decay", -1.0, r"WEIGHT_DECAY=-1\.0"),
    ("dropout", 0.95, r"DROPOUT=0\.95"),
    ("clip_norm", 0.0, r"CLIP_NORM=0\.0"),
]


@pytest.mark.parametrize(("name", "value", "shown"), OUT_OF_RANGE)
def test_out_of_range_names_the_variable_of_run_sh(name: str, value: float, shown: str) -> None:
    with pytest.raises(UserError, match=f"^{shown} is out of range: expected "):
        resolve_experiment({name: value})


CHOICES = {name: setting.choices for name, setting in declared_settings(Experiment).items() if setting.choices}


@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_lists_the_choices(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"{name.upper()}='Foo' is unknown: expected one of {', '.join(CHOICES[name])}"
    ):
        resolve_experiment({name: "Foo"})
    for choice in CHOICES[name]:
        assert getattr(resolve_experiment({name: choice}), name) == choice


class TestSimilarity:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ('{"class_name": "PowerBertBackbone", "config": {"similarity": "gaussian"}}', "gaussian"),
            ('{"class_name": "BertBackbone", "config": {}}', "dot"),
            ('{"model_type": "bert"}', "dot"),
        ],
    )
    def test_it_is_that_of_the_checkpoint(self, content: str, expected: str, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(content)
        given = {"checkpoint_path": str(tmp_path)}
        assert resolve_experiment(given).similarity == expected
        assert resolve_experiment({**given, "similarity": "cosine"}).similarity == "cosine"

    @pytest.mark.parametrize("checkpoint", ["hf://owner/name", "bert_tiny_en_uncased", "absent/bert_model.ckpt"])
    def test_nothing_is_fetched_for_it(self, checkpoint: str) -> None:
        assert resolve_experiment({"checkpoint_path": checkpoint}).similarity == "dot"


WRONG_TYPES = [
    ("epochs", "3", "EPOCH='3': expected a whole number"),
    ("epochs", 2.5, r"EPOCH=2\.5: expected a whole number"),
    ("epochs", True, "EPOCH=True: expected a whole number"),
    ("lr_bert", "2e-5", "LR_BERT='2e-5': expected a number"),
    ("dropout", "0.1", r"DROPOUT='0\.1': expected a number or nothing"),
    ("cased", "yes", "CASED='yes': expected true or false or nothing"),
    ("similarity", 3, "SIMILARITY=3: expected a text"),
    ("task", 5, "TASK=5: expected a text"),
    ("vocab_path", 5, "VOCAB_PATH=5: expected a text or nothing"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_TYPES)
def test_wrong_type(name: str, value: Any, message: str) -> None:
    values = dataclasses.asdict(resolve_experiment({})) | {name: value}
    with pytest.raises(UserError, match=message):
        Experiment.from_json(json.dumps(values), "config.json")


class TestJson:
    def test_round_trip(self) -> None:
        experiment = resolve_experiment({"task": "sts-b", "lr_bert": 1 / 30, "cased": True, "data_dir": "/dätä x"})
        assert Experiment.from_json(experiment.to_json(), "config.json") == experiment

    def test_an_older_file_takes_the_defaults_of_new_settings(self) -> None:
        values = json.loads(resolve_experiment({}).to_json())
        del values["clip_norm"], values["gate"]
        assert Experiment.from_json(json.dumps(values), "config.json") == resolve_experiment({})

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", r"run/config\.json, line 1: not valid JSON"),
            ('{\n  "task": "cola",\n', r"run/config\.json, line 3: not valid JSON"),
            ("\0\0\0", r"run/config\.json, line 1: not valid JSON"),
            ("[1, 2]", r"run/config\.json: not a JSON object"),
            ("3", r"run/config\.json: not a JSON object"),
            ('{"task": "cola", "lamda": 1}', r"run/config\.json: unknown settings lamda; known are .*regularization"),
            ('{"task": "cola"}', r"run/config\.json: settings are missing: data_dir, .*epochs"),
        ],
    )
    def test_a_damaged_file_is_named(self, text: str, message: str) -> None:
        with pytest.raises(UserError, match=message):
            Experiment.from_json(text, "run/config.json")


def test_local_paths_become_absolute_and_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert").mkdir()
    local = resolve_experiment({"data_dir": "data", "checkpoint_path": "bert", "output_dir": "run"})
    assert (local.data_dir, local.checkpoint_path, local.output_dir) == (
        str(tmp_path / "data"),
        str(tmp_path / "bert"),
        str(tmp_path / "run"),
    )
    assert resolve_experiment({"checkpoint_path": "hf://owner/name"}).checkpoint_path == "hf://owner/name"
    assert resolve_experiment({"checkpoint_path": "bert_tiny_en_uncased"}).checkpoint_path == "bert_tiny_en_uncased"


def test_the_sample_is_never_called_cola() -> None:
    default = resolve_experiment({})
    for given in (
        {"task": "cola"},
        {"task": SAMPLE},
        {"task": SAMPLE, "data_dir": str(SAMPLE_FOLDER / "acceptability")},
    ):
        assert resolve_experiment(given) == default
    assert (default.lr_bert, default.lr_soft_extract) == (1e-4, 3e-3)
    assert default.task_definition.layout("train") == get_task("cola").layout("train")
    official = resolve_experiment({"data_dir": "elsewhere/CoLA"})
    assert (official.task, official.lr_soft_extract) == ("cola", 1.5e-3)


def test_the_sample_of_an_earlier_version_gets_its_name() -> None:
    data_dir = str(SAMPLE_FOLDER / "CoLA")
    asked = resolve_experiment({"task": "cola", "data_dir": data_dir})
    assert (asked.task, asked.data_dir) == (SAMPLE, data_dir)
    stored = json.loads(asked.to_json()) | {"task": "cola"}
    assert Experiment.from_json(json.dumps(stored), "config.json") == asked
    elsewhere = json.dumps(stored | {"data_dir": "/data/CoLA"})
    assert Experiment.from_json(elsewhere, "config.json").task == "cola"


class TestCustomTask:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        (tmp_path / "train.tsv").write_text("text\tother\ttopic\nx\ty\tsport\nx\ty\tart\n")
        return tmp_path

    def test_labels_are_found_and_stored(self, data: Path) -> None:
        experiment = resolve_experiment(
            {"task": "custom", "data_dir": str(data), "text_columns": "text, other", "label_column": "topic"}
        )
        assert experiment.labels == ("art", "sport")
        assert (experiment.max_length, experiment.batch_size, experiment.lr_bert) == (128, 32, 1e-4)
        task = experiment.task_definition
        assert (task.labels, task.is_pair, task.metrics[0]) == (("art", "sport"), True, "accuracy")
        (data / "train.tsv").write_text("text\tother\ttopic\nx\ty\tmusic\n")
        assert Experiment.from_json(experiment.to_json(), "config.json") == experiment

    def test_given_labels_keep_their_order(self, data: Path) -> None:
        settings = {"task": "custom", "data_dir": str(data), "labels": "sport,art"}
        assert resolve_experiment(settings).labels == ("sport", "art")
        assert resolve_experiment(settings | {"labels": ("sport", "art")}).labels == ("sport", "art")

    def test_scores_have_no_labels(self, data: Path) -> None:
        experiment = resolve_experiment({"task": "custom", "data_dir": str(data), "metric": "spearman"})
        assert experiment.labels is None and experiment.task_definition.is_regression

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({}, "DATA_DIR is empty: TASK=custom needs"),
            (
                {"data_dir": "DATA", "label_column": "theme", "text_columns": "text"},
                "no column named 'theme'.*LABEL_COLUMN",
            ),
            ({"data_dir": "DATA", "metric": "bleu", "labels": "a,b"}, "METRIC='bleu' is unknown"),
            ({"data_dir": "DATA", "labels": "a"}, "LABELS=a: expected at least two"),
            ({"data_dir": "DATA/absent", "text_columns": "text"}, "no such folder"),
        ],
    )
    def test_bad_settings(self, settings: dict[str, str], message: str, data: Path) -> None:
        given = {name: value.replace("DATA", str(data)) for name, value in settings.items()}
        with pytest.raises(UserError, match=message):
            resolve_experiment({"task": "custom", **given})

    def test_the_settings_are_of_no_use_to_a_glue_task(self) -> None:
        with pytest.raises(
            UserError, match="TEXT_COLUMNS, METRIC: only for TASK=custom, not for TASK=acceptability-sample"
        ):
            resolve_experiment({"text_columns": ("a",), "metric": "accuracy"})

    def test_wrong_types_in_a_file(self, data: Path) -> None:
        experiment = resolve_experiment({"task": "custom", "data_dir": str(data), "labels": "a,b"})
        values = json.loads(experiment.to_json())
        for labels in ("a,b", [1, 2], {"a": 0}):
            with pytest.raises(UserError, match=r"LABELS=.*: expected a list of texts or nothing"):
                Experiment.from_json(json.dumps(values | {"labels": labels}), "config.json")


def test_data_of_tensorflow_datasets() -> None:
    experiment = resolve_experiment({"task": "mnli-m", "data_dir": "tfds:glue/mnli"})
    assert experiment.data_dir == "tfds:glue/mnli"
    assert Path(experiment.output_dir) == RUNS_FOLDER / "mnli-m" / "tfds-glue-mnli-all-MiniLM-L6-v2"


def test_tasks_but_cola_are_looked_for_where_the_download_puts_them() -> None:
    assert Path(resolve_experiment({"task": "mnli-mm"}).data_dir) == GLUE_FOLDER / "MNLI"


def test_a_threshold_keeps_no_number_of_tokens() -> None:
    with pytest.raises(UserError, match="RETENTION_PROFILE=threshold with RETENTION_UNIT=tokens"):
        resolve_experiment({"retention_profile": "threshold", "retention_unit": "tokens"})
