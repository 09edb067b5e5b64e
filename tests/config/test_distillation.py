"""Tests of power_bert.config.distillation: values that are parsed once, and files of earlier versions."""

import json
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.distillation import Distillation, Ensemble, resolve_distillation
from power_bert.config.values import LayerMap, Schedule, SparsityBlock
from power_bert.errors import UserError
from power_bert.folders import DEFAULT_CHECKPOINT, RUNS_FOLDER

GIVEN = {
    **{"task": "emotion", "data_dir": "/data/emotion", "output_dir": "/runs/student", "student": "bert-2x8"},
    **{"teachers": ("/one", "/two"), "start": "teacher", "weighting": "given"},
}
TEXTS = {
    **{"alpha": "linear:1:0.25", "temperature": "2", "hidden_weight": "0", "cosine_weight": "1"},
    **{"layer_map": "0:0,1:3", "block": "1x16"},
}
# The same texts as earlier versions had them in config.json.
FORMER_TEXTS = {
    **{"start_blocks": "2,4", "teacher_weights": "0.7,0.3"},
    **{"student_options": ["similarity=cosine", "dropout=0.2", "sizes=[3, 4]"], "augment": ["mask", "ngram"]},
}


@pytest.fixture
def settings() -> Distillation:
    former = {**FORMER_TEXTS, "student_options": tuple(FORMER_TEXTS["student_options"]), "augment": "mask,ngram"}
    return resolve_distillation({**GIVEN, **TEXTS, **former, "sparsity": 0.5})


def test_values_are_parsed(settings: Distillation) -> None:
    assert (settings.alpha, settings.temperature) == (Schedule("linear", 1.0, 0.25), Schedule.constant(2.0))
    assert (settings.layer_map, settings.block) == (LayerMap([(0, 0), (1, 3)]), SparsityBlock(1, 16))
    assert (settings.start_blocks, settings.teacher_weights) == ((2, 4), (0.7, 0.3))
    assert settings.student_options == {"similarity": "cosine", "dropout": 0.2, "sizes": (3, 4)}
    assert settings.augment == ("mask", "ngram")


def test_the_file_can_be_read_by_people_and_by_the_program(settings: Distillation) -> None:
    stored = json.loads(settings.to_json())
    assert {name: stored[name] for name in TEXTS} == TEXTS
    assert Distillation.from_json(settings.to_json(), "config.json") == settings


def test_a_file_of_an_earlier_version(settings: Distillation) -> None:
    stored = json.loads(settings.to_json()) | FORMER_TEXTS | {"hidden_weight": "0.0"}
    assert Distillation.from_json(json.dumps(stored), "config.json") == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": "high"}, r"^--alpha high: expected a number, or a schedule such as linear:4:1"),
        ({"layer_map": "1-2"}, r"^--layer-map 1-2: '1-2' is not a pair of a student's and a teacher's block"),
        ({"start_blocks": "2,x"}, r"^--start-blocks 2,x: expected numbers of blocks, as in 2,4,6"),
        ({"start_blocks": "2,4,6"}, r"^--start-blocks 2,4,6: expected 2 numbers of blocks, as in 2,4,6"),
        ({"teacher_weights": "1,-2"}, r"^--teacher-weights 1,-2: expected positive numbers"),
        ({"teacher_weights": "1,2,3"}, r"^--teacher-weights 1,2,3: expected 2 positive numbers, one per teacher"),
        ({"student_options": ("units",)}, r"^--set units: expected NAME=VALUE"),
        ({"augment": "mask,words"}, r"^--augment='words' is unknown: expected some of mask, class, ngram, lm"),
        ({"loss": "mae"}, r"^--loss='mae' is unknown: expected one of kl, mse"),
    ],
)
def test_bad_values(given: dict[str, Any], message: str) -> None:
    values = {**GIVEN, "teacher_weights": "0.7,0.3", **given}
    with pytest.raises(UserError, match=message):
        resolve_distillation(values)


# Student → its epochs, batch size, learning rate, max length, epsilon, alpha and temperature for emotion.
DEFAULTS = {
    "bert-mini": (6, 32, 3e-4, 64, 1e-6, 0.1, 2.0),
    "bilstm": (8, 32, 3e-3, 64, 1e-6, 0.1, 2.0),
    "linear": (15, 32, 5e-2, 512, 1e-3, 0.5, 1.0),
    "mlp": (10, 32, 1e-3, 512, 1e-6, 0.1, 2.0),
}
OWN = ("epochs", "batch_size", "learning_rate", "max_length", "epsilon", "alpha", "temperature")
DATA = {"task": "emotion", "data_dir": "/data/emotion"}


class TestDefaults:
    @pytest.mark.parametrize("student", DEFAULTS)
    def test_those_of_the_student(self, student: str) -> None:
        settings = resolve_distillation({**DATA, "student": student})
        *numbers, alpha, temperature = DEFAULTS[student]
        expected = (*numbers, Schedule.constant(alpha), Schedule.constant(temperature))
        assert tuple(getattr(settings, name) for name in OWN) == expected

    def test_a_given_value_beats_that_of_the_student(self) -> None:
        given = {"epochs": 2, "max_length": 33, "alpha": "0", "temperature": "4", "epsilon": 1e-8}
        settings = resolve_distillation({**DATA, "student": "linear", **given})
        assert (settings.epochs, settings.max_length, settings.epsilon) == (2, 33, 1e-8)
        assert (settings.alpha, settings.temperature) == (Schedule.constant(0.0), Schedule.constant(4.0))

    def test_the_max_length_is_the_tasks_where_the_student_has_none(self) -> None:
        for task, length in (("mrpc", 128), ("cola", 64)):
            assert resolve_distillation({"task": task, "data_dir": "/d", "student": "cnn"}).max_length == length

    def test_a_stored_run_does_not_follow_later_defaults(self) -> None:
        stored = json.loads(resolve_distillation({**DATA, "student": "linear"}).to_json())
        assert {name: stored[name] for name in OWN[:4]} == dict(zip(OWN, DEFAULTS["linear"][:4], strict=False))
        del stored["epochs"]
        with pytest.raises(UserError, match=r"^config\.json: settings are missing: epochs$"):
            Distillation.from_json(json.dumps(stored), "config.json")

    def test_the_tokenizer_is_that_of_the_start(self, tmp_path: Path) -> None:
        assert Path(resolve_distillation(DATA).vocabulary) == DEFAULT_CHECKPOINT
        assert resolve_distillation({**DATA, "start": str(tmp_path)}).vocabulary == str(tmp_path)
        assert resolve_distillation({**DATA, "vocabulary": "hf://owner/name"}).vocabulary == "hf://owner/name"
        with pytest.raises(UserError, match=r"^--vocabulary with --start teacher: the student takes the tokenizer"):
            resolve_distillation({**DATA, "start": "teacher", "vocabulary": "v.txt", "teachers": ("t",)})

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ({}, "distill-bilstm-alone-seed0"),
            ({"teachers": ("/runs/one", "/runs/two/"), "seed": 3}, "distill-bilstm-one-two-seed3"),
            ({"student": "bert-3x192", "teachers": ("hf://owner/name",)}, "distill-bert-3x192-name-seed0"),
        ],
    )
    def test_the_run_folder_has_the_name_of_what_makes_the_run(self, given: dict[str, Any], name: str) -> None:
        assert Path(resolve_distillation({**DATA, **given}).output_dir) == RUNS_FOLDER / "emotion" / name

    def test_local_paths_become_absolute_and_names_stay(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "run").mkdir()
        given = {"teachers": ("run", "bert_tiny_en_uncased_sst2"), "unlabelled": "texts.txt", "output_dir": "out"}
        settings = resolve_distillation({"task": "emotion", "data_dir": "data", **given, "start": "run"})
        assert settings.teachers == (str(tmp_path / "run"), "bert_tiny_en_uncased_sst2")
        assert (settings.unlabelled, settings.output_dir) == (str(tmp_path / "texts.txt"), str(tmp_path / "out"))
        assert (settings.data_dir, settings.start) == (str(tmp_path / "data"), str(tmp_path / "run"))
        assert resolve_distillation({"task": "sst-2", "data_dir": "tfds:glue/sst2"}).data_dir == "tfds:glue/sst2"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"student": "bert"}, r"^student 'bert' is unknown: expected one of bert-tiny, .*bert-LxH, bilstm"),
        ({"student": "lstm-2"}, r"^student 'lstm-2' is unknown"),
        ({"student": "bert-huge"}, r"^student bert-huge is unknown: expected bert-tiny, .* as in bert-3x192"),
        ({"student": "bert-0x64"}, r"^student bert-0x64 is unknown"),
        ({"student": "bert-2x200"}, r"^student bert-2x200: 3 heads do not divide the hidden dimension 200"),
        ({"student": "cnn", "cosine_weight": "1", "layer_map": "1:2"}, r"^--layer-map, --cosine-weight: for BERT stud"),
        ({"student": "mlp", "retention_config": "1.0,0.5"}, r"^--retention-config: for BERT students only, and mlp is"),
        ({"hidden_weight": "1", "retention_config": "1.0,0.5"}, r"^--hidden-weight with --retention-config: a student"),
        ({"attention_weight": "1", "teachers": ()}, r"^--attention-weight needs a teacher; give --teacher"),
        ({"layer_map": "1:2"}, r"^--layer-map 1:2 has no effect by itself; give --hidden-weight"),
        ({"layer_map": "1:2", "cosine_weight": "linear:0:0"}, r"^--layer-map 1:2 has no effect by itself"),
        ({"start_blocks": "2,4"}, r"^--start-blocks selects blocks of --start; give --start teacher or --start CHECK"),
        ({"block": "1x16"}, r"^--block 1x16 is for pruning; give --sparsity as well"),
        ({"clusters": 1}, r"^--clusters 1: expected 2 to 256 values, or 0 for no clustering"),
        ({"clusters": 257}, r"^--clusters=257 is out of range: expected 2 to 256 values, or 0"),
        ({"teacher_weights": "0.5,0.5"}, r"^--teacher-weights is for --weighting given; leave it out"),
        ({"weighting": "given"}, r"^--teacher-weights .*one per teacher, as in 0\.7,0\.3"),
        ({"teachers": (), "start": "teacher"}, r"^--start teacher needs a teacher; give --teacher"),
        ({"teachers": (), "augment": "mask"}, r"^--augment needs a teacher"),
        ({"teachers": (), "unlabelled": "t.txt"}, r"^--unlabelled needs a teacher"),
        ({"task": "sts-b", "weighting": "confidence"}, r"^--weighting confidence: a teacher that predicts scores has"),
        ({"students": "cnn"}, r"^unknown settings students; known are alpha, "),
        ({"retention_config": "none"}, r"^RETENTION_CONFIG=none: without elimination"),
    ],
)
def test_settings_that_exclude_each_other(given: dict[str, Any], message: str) -> None:
    base = {**DATA, "student": "bert-2x128", "teachers": ("/one",)}
    with pytest.raises(UserError, match=message):
        resolve_distillation({**base, **given})


@pytest.mark.parametrize(
    ("given", "compares"),
    [
        ({}, False),
        ({"hidden_weight": "0.5"}, True),
        ({"attention_weight": "linear:0:1"}, True),
        ({"cosine_weight": "linear:1:0"}, True),
    ],
)
def test_inner_states_are_compared_if_a_weight_is_above_zero_at_some_step(
    given: dict[str, str], compares: bool
) -> None:
    base = {**DATA, "student": "bert-tiny", "teachers": ("/one",)}
    assert resolve_distillation({**base, **given}).compares_inner_states is compares


def test_the_blocks_of_the_start_are_as_many_as_those_of_the_student() -> None:
    base = {**DATA, "student": "bert-3x128", "start": "teacher", "teachers": ("/one",)}
    assert resolve_distillation({**base, "start_blocks": "2,4,6"}).start_blocks == (2, 4, 6)
    with pytest.raises(UserError, match=r"^--start-blocks 2,4: expected 3 numbers of blocks"):
        resolve_distillation({**base, "start_blocks": "2,4"})


def test_an_ensemble_is_stored_like_any_run() -> None:
    given = {**DATA, "output_dir": "/runs/both", "batch_size": 32, "max_length": 64}
    ensemble = Ensemble(**given, members=("/runs/one", "/runs/two"))  # type: ignore[arg-type]
    assert Ensemble.from_json(ensemble.to_json(), "config.json") == ensemble
    assert json.loads(ensemble.to_json())["kind"] == "ensemble" and ensemble.seed == 0
    with pytest.raises(UserError, match=r"^--members=\('/runs/one', 1\): expected a list of texts$"):
        Ensemble(**given, members=("/runs/one", 1))  # type: ignore[arg-type]
