"""Tests of power_bert.runs.trained_model and power_bert.model.trained_classifier."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file, save_file

from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.runs.trained_model import load_trained_model
from power_bert.text.glue_tasks import get_task

TEXTS = ["the cat sat.", "dog", "a mouse ran under the big tree quickly"]


def logits(classifier: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(classifier(classifier.preprocessor(TEXTS))))


@pytest.fixture(scope="module")
def preset(make_classifier: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preset") / "model"
    make_classifier(extraction="hard", retention=(0.6, 0.2)).save_to_preset(str(folder))
    return folder


@pytest.fixture
def make_hugging_face(tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """A folder as `BertForSequenceClassification.save_pretrained` writes it, with these class names."""

    def make(names: list[str], **config: Any) -> Path:
        folder = tmp_path / "hugging_face"
        folder.mkdir()
        for file in ("vocab.txt", "tokenizer_config.json"):
            (folder / file).write_bytes((tiny_checkpoint / file).read_bytes())
        weights = {f"bert.{name.removeprefix('bert.')}": value for name, value in
                   load_file(tiny_checkpoint / "model.safetensors").items()}  # fmt: skip
        generator = np.random.default_rng(5)
        weights["classifier.weight"] = generator.normal(size=(len(names), 8)).astype(np.float32)
        weights["classifier.bias"] = generator.normal(size=len(names)).astype(np.float32)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        values = json.loads((tiny_checkpoint / "config.json").read_text(encoding="utf-8")) | config
        values["id2label"] = {str(index): name for index, name in enumerate(names)}
        (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
        return folder

    return make


class TestRun:
    def test_the_last_phase_with_its_own_retention(self, cola_run: Any) -> None:
        model = load_trained_model(str(cola_run.folder))
        retention = model.classifier.backbone.retention
        assert model.source == str(cola_run.folder / "3_retrain" / "model")
        assert model.retention.endswith("(the model's own)") and model.retention.startswith(retention.shown())
        assert model.task == get_task("cola") and model.data_dir == cola_run.experiment.data_dir
        assert model.max_length == 24

    def test_another_phase_eliminates_nothing_and_says_so(self, cola_run: Any) -> None:
        model = load_trained_model(str(cola_run.folder), phase="1_fine_tune")
        assert model.classifier.backbone.retention is None
        assert model.retention == "none: nothing is eliminated"

    @pytest.mark.parametrize(
        ("choice", "retention", "said"),
        [
            ("0.5,0.25", (0.5, 0.25), "0.5,0.25 (as asked)"),
            ("7, 1", (7, 1), "7,[CLS] (as asked)"),
            ("none", None, "none: nothing is eliminated (as asked)"),
        ],
    )
    def test_a_given_retention(self, choice: str, retention: Any, said: str, cola_run: Any) -> None:
        model = load_trained_model(str(cola_run.folder), retention_choice=choice)
        expected = None if retention is None else Retention.of(retention)
        assert (model.classifier.backbone.retention, model.retention) == (expected, said)
        own = load_trained_model(str(cola_run.folder)).classifier
        np.testing.assert_array_equal(model.classifier.output_dense.kernel, own.output_dense.kernel)
        assert not np.allclose(logits(model.classifier), logits(own))

    def test_the_retention_of_a_file(self, cola_run: Any) -> None:
        path = cola_run.folder / "2_search" / "retention.json"
        own, named = (load_trained_model(str(cola_run.folder), retention_choice=c) for c in (None, str(path)))
        np.testing.assert_array_equal(logits(named.classifier), logits(own.classifier))

    @pytest.mark.parametrize(
        ("choice", "message"),
        [
            ("0.5", "has 1 values, but the model has 2"),
            ("0.2,0.5", "block 2 keeps 0.5, more than"),
            ("half,quarter", "not a list of numbers"),
            ("25,1", "expected a number of tokens from 1 to 24"),
            ("/nowhere/retention.json", "cannot be read"),
        ],
    )
    def test_a_bad_retention(self, choice: str, message: str, cola_run: Any) -> None:
        with pytest.raises(UserError, match=message):
            load_trained_model(str(cola_run.folder), retention_choice=choice)

    def test_bad_targets(self, cola_run: Any, tmp_path: Path) -> None:
        folder = str(cola_run.folder)
        with pytest.raises(UserError, match=r"a run of cola, which cannot predict mrpc; give .* --task cola"):
            load_trained_model(folder, get_task("mrpc"))
        with pytest.raises(UserError, match="phase '2_search' is unknown: expected one of 3_retrain, 1_fine_tune"):
            load_trained_model(folder, phase="2_search")
        with pytest.raises(UserError, match="MAX_LENGTH=41 is over the 40 positions"):
            load_trained_model(folder, max_length=41)
        with pytest.raises(UserError, match=r"nothing: no such run or checkpoint\. Expected the OUTPUT_DIR of a run"):
            load_trained_model(str(tmp_path / "nothing"))
        with pytest.raises(
            UserError, match="the model of a search, whose soft extraction does not eliminate tokens yet"
        ):
            load_trained_model(f"{folder}/2_search/model")


class TestPreset:
    def test_its_own_retention_and_length(self, preset: Path) -> None:
        model = load_trained_model(str(preset))
        assert (model.task, model.data_dir, model.max_length) == (None, None, 24)
        assert model.retention == "0.6,0.2 (the model's own)"
        assert load_trained_model(str(preset), max_length=9).max_length == 9

    def test_a_task_with_other_classes(self, preset: Path) -> None:
        assert load_trained_model(str(preset), get_task("cola")).task == get_task("cola")
        for task, message in (
            ("mnli-m", "the model has 2 classes, but mnli-m wants 3 classes"),
            ("sts-b", "has 2 classes, but sts-b wants one score"),
            ("rte", "classes are 0, 1, those of rte are entailment, not_entailment"),
        ):
            with pytest.raises(UserError, match=message):
                load_trained_model(str(preset), get_task(task))

    def test_an_encoder_without_a_head(self, tiny_checkpoint: Path) -> None:
        with pytest.raises(UserError, match=r"an encoder without a classification head.*CHECKPOINT_PATH"):
            load_trained_model(str(tiny_checkpoint))

    def test_phases_are_those_of_runs(self, preset: Path) -> None:
        with pytest.raises(UserError, match="no run there, so it has no phase 3_retrain; leave --phase out"):
            load_trained_model(str(preset), phase="3_retrain")


class TestHuggingFace:
    @pytest.mark.parametrize(
        ("task", "names", "order"),
        [
            ("mnli-m", ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"], [2, 0, 1]),
            ("rte", ["not-entailment", "entailment"], [1, 0]),
            ("sst-2", ["POSITIVE", "NEGATIVE"], [1, 0]),
            ("cola", ["LABEL_0", "LABEL_1"], [0, 1]),
            ("qqp", ["1", "0"], [1, 0]),
        ],
    )
    def test_classes_are_put_into_the_tasks_order_by_name(
        self, task: str, names: list[str], order: list[int], make_hugging_face: Callable[..., Path]
    ) -> None:
        folder = str(make_hugging_face(names))
        plain, model = load_trained_model(folder), load_trained_model(folder, get_task(task))
        assert plain.classifier.labels == tuple(names) and model.classifier.labels == get_task(task).class_names
        np.testing.assert_allclose(logits(model.classifier), logits(plain.classifier)[:, order], atol=1e-6)
        assert model.retention == "none: nothing is eliminated" and plain.max_length == 40

    def test_head_is_that_of_the_file(self, make_hugging_face: Callable[..., Path]) -> None:
        folder = make_hugging_face(["LABEL_0"])
        model = load_trained_model(str(folder), get_task("sts-b"))
        stored = load_file(folder / "model.safetensors")
        np.testing.assert_array_equal(model.classifier.output_dense.kernel, stored["classifier.weight"].T)
        np.testing.assert_array_equal(model.classifier.output_dense.bias, stored["classifier.bias"])
        assert model.classifier.is_regressor

    def test_names_that_say_nothing(self, make_hugging_face: Callable[..., Path]) -> None:
        folder = make_hugging_face(["LABEL_0", "LABEL_1"])
        with pytest.raises(UserError, match=r"classes are LABEL_0, LABEL_1, those of rte are .* \(\"id2label\"\)"):
            load_trained_model(str(folder), get_task("rte"))
