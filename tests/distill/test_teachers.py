"""Teachers of every kind, and what is said of those that cannot teach."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fixtures.tiny_models import logits_of
from power_bert.distill.teachers import files_fingerprint, find_teacher
from power_bert.errors import UserError
from power_bert.storage.folder_manifest import MANIFEST_FILE
from power_bert.text.custom_task import make_custom_task
from power_bert.text.examples import Examples
from power_bert.text.glue_tasks import TASKS

LABELS = ("bad", "good", "plain")
TASK = make_custom_task(("text",), "label", LABELS, "accuracy")
TEXTS = Examples(["the fine nice", "awful", "table road very"], None, None)


def test_our_own_preset(tiny_teacher: Path) -> None:
    teacher = find_teacher(str(tiny_teacher), TASK, 16)
    assert teacher.is_own
    expected = logits_of(teacher.classifier, TEXTS.first)
    np.testing.assert_allclose(teacher.model.outputs(TEXTS), expected, atol=1e-5)


def test_classes_are_matched_by_name(tiny_teacher: Path) -> None:
    plain = find_teacher(str(tiny_teacher), TASK, 16).model.outputs(TEXTS)
    turned = make_custom_task(("text",), "label", ("plain", "bad", "good"), "accuracy")
    np.testing.assert_allclose(find_teacher(str(tiny_teacher), turned, 16).model.outputs(TEXTS), plain[:, [2, 0, 1]])


def test_classes_of_a_linear_student_are_matched_by_name(distill_tiny: Callable[..., Any]) -> None:
    run = distill_tiny("linear", teachers=(), epochs=1).run_dir.path
    plain = find_teacher(str(run), TASK, 16).model.outputs(TEXTS)
    turned = make_custom_task(("text",), "label", ("plain", "bad", "good"), "accuracy")
    np.testing.assert_array_equal(find_teacher(str(run), turned, 16).model.outputs(TEXTS), plain[:, [2, 0, 1]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("bad", "good"), r"has 3 classes \(bad, good, plain\), but custom wants 2 classes \(bad, good\)"),
        (("bad", "good", "other"), "other"),
    ],
)
def test_other_classes(labels: tuple[str, ...], message: str, tiny_teacher: Path) -> None:
    task = make_custom_task(("text",), "label", labels, "accuracy")
    with pytest.raises(UserError, match=message):
        find_teacher(str(tiny_teacher), task, 16).model  # noqa: B018


def test_a_run_of_another_task(cola_run: Any) -> None:
    teacher = find_teacher(str(cola_run.folder), TASKS["cola"], 16)
    own_data = make_custom_task(("text",), "label", ("acceptable", "unacceptable"), "accuracy")
    turned = find_teacher(str(cola_run.folder), own_data, 16).model.outputs(TEXTS)
    np.testing.assert_array_equal(turned, teacher.model.outputs(TEXTS)[:, ::-1])
    for other in ("rte", "mrpc", "sts-b"):
        with pytest.raises(UserError, match=rf"unacceptable, acceptable.* {other} "):
            find_teacher(str(cola_run.folder), TASKS[other], 16)


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "fine", "nice", "awful", "table", "road", "very"]


def save_hub_classifier(folder: Path, **options: Any) -> Any:
    import keras_hub

    models: Any = keras_hub.models
    tokenizer = models.BertTokenizer(WORDS, lowercase=True)
    preprocessor = models.BertTextClassifierPreprocessor(tokenizer, sequence_length=12)
    backbone = models.BertBackbone(len(WORDS), 1, 2, 8, 12, max_sequence_length=12)
    classifier = models.BertTextClassifier(backbone, num_classes=3, preprocessor=preprocessor, **options)
    classifier.save_to_preset(str(folder))
    return classifier


@pytest.fixture
def hugging_face(tmp_path: Path, write_checkpoint: Callable[..., Path]) -> Path:
    """A Hugging Face classifier of three classes."""
    folder = write_checkpoint(tmp_path / "hugging_face", [*WORDS, "naïve"], 1, 2, 8, 12)
    weights = load_file(folder / "model.safetensors")
    head = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    save_file({**weights, "classifier.weight": head, "classifier.bias": head[:, 0]}, folder / "model.safetensors")
    change_json(folder / "config.json", id2label=dict(enumerate(LABELS)))
    return folder


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_settings_of_its_tokenizer_are_part_of_a_teacher(hugging_face: Path) -> None:
    texts = Examples(["naïve naive"], None, None)
    usual = find_teacher(str(hugging_face), TASK, 16)
    assert usual.tokenizer.token_ids(texts.first) == [[1, 1]]
    expected = usual.model.outputs(texts)
    change_json(hugging_face / "tokenizer_config.json", strip_accents=False)
    unusual = find_teacher(str(hugging_face), TASK, 16)
    assert unusual.tokenizer.token_ids(texts.first) == [[12, 1]]
    assert np.abs(unusual.model.outputs(texts) - expected).max() > 1e-3
    # Logits that were computed without the setting, for the same files, are not those of this teacher.
    assert unusual.fingerprint != files_fingerprint(hugging_face, f"16 {TASK.labels}")
    change_json(hugging_face / "tokenizer_config.json", strip_accents=None)
    assert find_teacher(str(hugging_face), TASK, 16).fingerprint == files_fingerprint(hugging_face, f"16 {TASK.labels}")


def test_several_labels_at_once_are_refused_before_the_weights_are_read(hugging_face: Path) -> None:
    change_json(hugging_face / "config.json", problem_type="multi_label_classification")
    with pytest.raises(UserError, match='"problem_type" is "multi_label_classification" with 3 outputs'):
        find_teacher(str(hugging_face), TASK, 16)


def test_a_teacher_whose_tokenizer_is_inside_tokenizer_json(hugging_face: Path) -> None:
    vocab = {word: index for index, word in enumerate([*WORDS, "naïve"])}
    (hugging_face / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": vocab}}))
    expected = find_teacher(str(hugging_face), TASK, 16).model.outputs(TEXTS)
    (hugging_face / "vocab.txt").unlink()
    np.testing.assert_array_equal(find_teacher(str(hugging_face), TASK, 16).model.outputs(TEXTS), expected)
    (hugging_face / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer\. Put its vocab\.txt into .*, or tokenizer\.json"):
        find_teacher(str(hugging_face), TASK, 16)


def test_a_keras_hub_classifier(tmp_path: Path) -> None:
    classifier = save_hub_classifier(tmp_path / "hub")
    teacher = find_teacher(str(tmp_path / "hub"), TASK, None)
    assert not teacher.is_own
    expected = classifier.predict(TEXTS.first, batch_size=3, verbose=0)
    np.testing.assert_allclose(teacher.model.outputs(TEXTS), expected, atol=1e-5)
    cut = find_teacher(str(tmp_path / "hub"), TASK, 4).model.outputs(TEXTS)
    np.testing.assert_allclose(cut[1], expected[1], atol=1e-5)  # one word, which 4 tokens hold
    assert np.abs(cut[0] - expected[0]).max() > 1e-6
    with pytest.raises(UserError, match="3 classes without names"):
        find_teacher(str(tmp_path / "hub"), dataclasses.replace(TASK, labels=("a", "b")), None).model  # noqa: B018


def test_a_keras_hub_classifier_that_ends_in_a_softmax_teaches_logits(tmp_path: Path) -> None:
    import keras

    hub = save_hub_classifier(tmp_path / "hub", activation="softmax")
    outputs = find_teacher(str(tmp_path / "hub"), TASK, None).model.outputs(TEXTS)
    assert np.abs(outputs.sum(axis=1) - 1).max() > 1e-3
    probabilities = hub.predict(TEXTS.first, batch_size=3, verbose=0)
    np.testing.assert_allclose(keras.ops.softmax(outputs), probabilities, atol=1e-5)


def test_a_keras_hub_classifier_reads_masks(tmp_path: Path) -> None:
    hub = save_hub_classifier(tmp_path / "hub")
    masked = {name: np.array(value) for name, value in hub.preprocessor(["the fine"]).items()}
    masked["token_ids"][0, 2] = WORDS.index("[MASK]")
    texts = Examples(["the [MASK]"], None, None)
    outputs = find_teacher(str(tmp_path / "hub"), TASK, None).model.outputs(texts)
    np.testing.assert_allclose(outputs, np.asarray(hub(masked)), atol=1e-5)


def test_masks_for_a_tokenizer_that_does_not_know_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from power_bert.distill import keras_hub_teacher

    monkeypatch.setattr(keras_hub_teacher, "_mask_token", lambda tokenizer: None)
    save_hub_classifier(tmp_path / "hub")
    model = find_teacher(str(tmp_path / "hub"), TASK, None).model
    assert np.isfinite(model.outputs(TEXTS)).all()
    with pytest.raises(UserError, match=r"does not know \[MASK\] in a text; leave mask out of --augment"):
        model.outputs(Examples(["the [MASK]"], None, None))


def test_what_is_no_teacher(tiny_teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config.json in .*\nExpected one of"):
        find_teacher(str(tmp_path), TASK, None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(UserError, match="a Hugging Face model of type 'gpt2'"):
        find_teacher(str(tmp_path), TASK, None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"no tokenizer. Put its vocab.txt into"):
        find_teacher(str(tmp_path), TASK, None)


@pytest.mark.parametrize("has_manifest", [True, False])
@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("assets/tokenizer/vocabulary.txt", r"vocabulary\.txt"),
        ("task.json", r"teacher .*without: an encoder without a head"),
        ("model.weights.h5", r"without/model\.weights\.h5: missing, so .* weights would be random"),
        ("task.weights.h5", r"without/task\.weights\.h5: missing, so 2 weights would be random"),
    ],
)
def test_a_preset_with_a_file_missing(
    missing: str, message: str, has_manifest: bool, tiny_teacher: Path, tmp_path: Path
) -> None:
    without = shutil.copytree(tiny_teacher, tmp_path / "without")
    (without / missing).unlink()
    if has_manifest:
        message = rf"without/{missing}: missing, although power_bert_manifest\.json names it"
    else:
        (without / MANIFEST_FILE).unlink()
    with pytest.raises(UserError, match=message):
        find_teacher(str(without), TASK, None).model  # noqa: B018
