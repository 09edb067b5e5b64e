"""A distilled run from its settings to what it leaves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.config.values import Schedule
from power_bert.errors import UserError
from power_bert.runs.run_dir import DISTILL, read_run_json


def weights(model: Path) -> list[np.ndarray]:
    from power_bert.model.classifier import PowerBertTextClassifier

    return [np.array(weight) for weight in PowerBertTextClassifier.from_preset(str(model)).weights]


def test_what_a_run_leaves_and_a_second_student_asks_no_teacher(distill_tiny: Callable[..., Any]) -> None:
    first = distill_tiny("first", augment=("mask", "ngram"), augment_copies=1)
    phase = first.run_dir.phase(DISTILL)
    metrics = read_run_json(phase.metrics)
    parts = metrics["transfer_examples"]
    assert phase.is_done and not phase.training_state.exists()
    assert parts["train"] == 36 and 0 < parts["augmented"] <= 36
    assert metrics["teacher_forwards"] == sum(parts.values()) + 12  # and the dev set
    assert list(metrics["teachers"][0]["scores"]) == list(metrics["scores"]) == ["accuracy", "macro_f1"]
    assert len(phase.predictions("dev").read_text().splitlines()) == 13
    assert len(phase.predictions("test").read_text().splitlines()) == 10
    assert len(first.run_dir.metrics_csv.read_text().splitlines()) == 4
    assert f"teacher forwards: {metrics['teacher_forwards']} examples" in first.output
    assert " labels (training / dev examples): " in first.output
    second = distill_tiny("second", student="mlp", student_options=("hidden_dims=(6, 5)",), augment=("mask", "ngram"),
                      augment_copies=1)  # fmt: skip
    assert "teacher forwards: 0 (cached)" in second.output
    assert read_run_json(second.run_dir.phase(DISTILL).metrics)["teacher_forwards"] == 0
    assert "already done" in distill_tiny("first", augment=("mask", "ngram"), augment_copies=1).output
    with pytest.raises(UserError, match=r"--out .* holds another run .*alpha.*--no-resume"):
        distill_tiny("first", augment=("mask", "ngram"), augment_copies=1, alpha="0.7")


def test_a_student_alone_learns_from_the_labels(distill_tiny: Callable[..., Any]) -> None:
    run = distill_tiny(teachers=(), epochs=15)
    metrics = read_run_json(run.run_dir.phase(DISTILL).metrics)
    assert metrics["scores"]["accuracy"] == 1.0 and metrics["teachers"] == []
    assert "teacher" not in run.output


@pytest.mark.slow
def test_an_interrupted_run_comes_to_the_same(
    distill_tiny: Callable[..., Any], stop_in_second_epoch: Callable[[Callable[[], Any]], None]
) -> None:
    settings = {"student": "bilstm", "student_options": ("units=4", "embedding_dim=6", "hidden_dim=5")}
    whole = distill_tiny("whole", **settings)
    stop_in_second_epoch(lambda: distill_tiny("stopped", **settings))
    stopped = distill_tiny("stopped", **settings)
    assert "distill: resumed after epoch 1 of 3" in stopped.output
    one, other = (run.run_dir.phase(DISTILL) for run in (whole, stopped))
    for left, right in zip(weights(one.model), weights(other.model), strict=True):
        np.testing.assert_array_equal(left, right)
    for split in ("dev", "test"):
        assert one.predictions(split).read_bytes() == other.predictions(split).read_bytes()


def test_a_part_of_the_training_data_and_a_seed_for_augmentation(distill_tiny: Callable[..., Any]) -> None:
    settings = {"train_examples": 10, "augment": ("mask",), "augment_copies": 2, "augment_seed": 5, "epochs": 1}
    first = read_run_json(distill_tiny("first", **settings).run_dir.phase(DISTILL).metrics)
    assert first["transfer_examples"]["train"] == 10 and first["teacher_forwards"] > 10
    other = distill_tiny("other", seed=1, **settings)
    assert "teacher forwards: 0 (cached)" in other.output, "the same texts for every seed"


def test_a_teacher_that_has_changed_is_noticed(
    distill_tiny: Callable[..., Any], tiny_teacher: Path, tmp_path: Path
) -> None:
    teacher, texts = tmp_path / "teacher", tmp_path / "texts.txt"
    shutil.copytree(tiny_teacher, teacher)
    texts.write_text("the stone is fine\n", encoding="utf-8")
    vocabulary = tmp_path / "vocab.txt"
    shutil.copy(tiny_teacher / "assets" / "tokenizer" / "vocabulary.txt", vocabulary)
    settings = {"teachers": (str(teacher),), "unlabelled": str(texts), "vocabulary": str(vocabulary), "epochs": 1}
    distill_tiny(**settings)
    (teacher / "README.md").write_text("another card", encoding="utf-8")
    assert "already done" in distill_tiny(**settings).output
    texts.write_text("the stone is sad\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"texts.txt has changed since the run in --out .* --no-resume"):
        distill_tiny(**settings)
    texts.write_text("the stone is fine\n", encoding="utf-8")
    with open(vocabulary, "a", encoding="utf-8") as file:
        file.write("another\n")
    with pytest.raises(UserError, match=r"vocab\.txt has changed since"):
        distill_tiny(**settings)
    shutil.copy(tiny_teacher / "assets" / "tokenizer" / "vocabulary.txt", vocabulary)
    (teacher / "more.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="teacher has changed since"):
        distill_tiny(**settings)


def test_a_run_that_goes_on_counts_its_teacher_forwards(distill_tiny: Callable[..., Any]) -> None:
    phase_dir = distill_tiny(epochs=1).run_dir.phase(DISTILL)
    computed = read_run_json(phase_dir.metrics)["teacher_forwards"]
    assert computed == 36 + 12
    (phase_dir.path / "DONE").unlink()
    distill_tiny(epochs=1)
    assert read_run_json(phase_dir.metrics)["teacher_forwards"] == computed


def test_masks_need_a_mask_in_the_vocabulary(
    distill_tiny: Callable[..., Any], tiny_teacher: Path, tmp_path: Path
) -> None:
    words = (tiny_teacher / "assets" / "tokenizer" / "vocabulary.txt").read_text()
    path = tmp_path / "words" / "vocab.txt"
    path.parent.mkdir()
    path.write_text(words.replace("[MASK]\n", ""))
    with pytest.raises(
        UserError, match=r"--augment mask: the vocabulary of the student has no \[MASK\]; leave mask out"
    ):
        distill_tiny(vocabulary=str(path), augment=("mask",), epochs=1)


def test_word_pieces_of_unlabelled_texts_count(distill_tiny: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.runs.resolve_model import find_stored_phase

    texts = tmp_path / "texts.txt"
    texts.write_text("table road\n\n  \npaper glass\n", encoding="utf-8")
    run = distill_tiny(train_examples=1, unlabelled=str(texts), epochs=1)
    counts = read_run_json(run.run_dir.phase(DISTILL).metrics)["transfer_examples"]
    assert counts == {"train": 1, "unlabelled": 2}, "empty lines are no texts"
    classifier = find_stored_phase(run.run_dir.path).load_classifier()
    vocabulary = classifier.preprocessor.tokenizer.get_vocabulary()
    idf = np.asarray(classifier.backbone.bag.idf)
    assert all(idf[vocabulary.index(word)] > 0 for word in ("table", "road", "paper", "glass"))
    assert (idf == 0).sum() > 5, "pieces of no text do not count"


def test_the_students_epsilon_reaches_the_optimizer(
    distill_tiny: Callable[..., Any],
    make_distillation: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from power_bert.distill import run_distillation as driver

    used, compile_as_before = [], driver.compile_with_adamw

    def compile_and_note(model: Any, *rest: Any, **options: Any) -> None:
        compile_as_before(model, *rest, **options)
        used.append(model.optimizer.epsilon)

    monkeypatch.setattr(driver, "compile_with_adamw", compile_and_note)
    distill_tiny("default", epochs=1)
    distill_tiny("given", epochs=1, epsilon=0.25)
    assert used == [1e-3, 0.25]
    with pytest.raises(UserError, match=r"--epsilon=0\.0 is out of range: expected a number from 1e-12 to 1"):
        make_distillation(tmp_path, epsilon=0.0)


def test_defaults_of_a_kind_of_student(make_distillation: Callable[..., Any], tmp_path: Path) -> None:
    def chosen(**given: str) -> tuple[float, str, str]:
        settings = make_distillation(tmp_path, **given)
        return settings.epsilon, str(settings.alpha), str(settings.temperature)

    assert chosen(student="bilstm") == (1e-6, "0.1", "2")
    assert chosen(student="linear") == (1e-3, "0.5", "1")
    assert chosen(student="linear", alpha="0.2", temperature="linear:4:1") == (1e-3, "0.2", "linear:4:1")


def test_a_weight_of_zero_is_no_weight(make_distillation: Callable[..., Any], tmp_path: Path) -> None:
    assert make_distillation(tmp_path, student="bilstm", hidden_weight="0.0").hidden_weight == Schedule.constant(0.0)


@pytest.mark.slow
def test_a_bert_from_its_teacher(distill_tiny: Callable[..., Any]) -> None:
    from power_bert.model.pretrained import load_pretrained
    from power_bert.runs.resolve_model import find_stored_phase

    inner = {"hidden_weight": "1", "cosine_weight": "linear:1:0", "attention_weight": "0.5"}
    run = distill_tiny("bert", student="bert-2x8", start="teacher", vocabulary=None, epochs=1, **inner)
    assert "; one encoder runs on every batch, to compare intermediate representations" in run.output
    stored = find_stored_phase(run.run_dir.path)
    assert stored.load_classifier().backbone.num_layers == 2 and stored.phase_dir.path.name == DISTILL
    # What run.sh does with it as CHECKPOINT_PATH.
    assert load_pretrained(str(stored.phase_dir.model)).backbone.extraction is None
    cut = distill_tiny("cut", student="bert-2x8", start=str(stored.phase_dir.model), vocabulary=None, epochs=1,
                   retention_config="0.5,0.2")  # fmt: skip
    backbone = find_stored_phase(cut.run_dir.path).load_classifier().backbone
    assert (backbone.extraction, backbone.retention.values) == ("hard", (0.5, 0.2))


@pytest.mark.slow
@pytest.mark.parametrize("similarity", ["cosine", "euclidean", "gaussian"])
def test_a_student_with_another_similarity(similarity: str, distill_tiny: Callable[..., Any]) -> None:
    from power_bert.model.pretrained import load_pretrained
    from power_bert.runs.resolve_model import find_stored_phase

    options = (f"similarity={similarity}",)
    run = distill_tiny("first", student="bert-2x8", student_options=options, epochs=1, hidden_weight="1")
    stored = find_stored_phase(run.run_dir.path)
    assert stored.load_classifier().backbone.similarity == similarity
    # A student of it keeps the similarity, with what its scales have learned.
    start = str(stored.phase_dir.model)
    second = distill_tiny("second", student="bert-1x8", start=start, vocabulary=None, epochs=1)
    backbone = find_stored_phase(second.run_dir.path).load_classifier().backbone
    assert backbone.similarity == load_pretrained(start).backbone.similarity == similarity


def test_two_teachers_by_confidence(distill_tiny: Callable[..., Any], tiny_teacher: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(tiny_teacher)
    run = distill_tiny(
        teachers=(str(tiny_teacher), str(other)), weighting="confidence", temperature="linear:4:1", epochs=1
    )
    assert len(read_run_json(run.run_dir.phase(DISTILL).metrics)["teachers"]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": "0"}, "--temperature 0: expected a number above 0"),
        ({"temperature": "linear:2:-1"}, "--temperature"),
        ({"alpha": "1.5"}, "--alpha 1.5: expected a weight from 0 to 1"),
        ({"student": "lstm"}, "student 'lstm' is unknown"),
        ({"student_options": ("units=3",)}, "--set units=3: expected NAME=VALUE; linear has sublinear"),
        ({"start": "teacher", "vocabulary": None}, "linear has no embeddings"),
        ({"student": "mlp", "student_options": ("sublinear=no",)}, "sublinear='no'; expected true or false"),
        (
            {"student": "mlp", "student_options": ("hidden_dims=()",)},
            "expected whole numbers above 0, as in (128, 128)",
        ),
        ({"student": "bilstm", "student_options": ("units=0",)}, "units=0; expected a whole number above 0"),
        ({"student": "bert-2x8", "student_options": ("num_heads=0",)}, "num_heads=0; expected a whole number above 0"),
        ({"student": "cnn", "student_options": ("dropout=-1",)}, "dropout=-1; expected a number from 0"),
        (
            {"student": "bert-2x8", "hidden_weight": "linear:-1:0"},
            "--hidden-weight linear:-1:0: expected a weight of at least 0",
        ),
        ({"student": "bert-2x8", "layer_map": "1:2"}, "--layer-map 1:2 has no effect by itself"),
        ({"sparsity": 0.5}, "no weights to prune"),
        ({"layer_map": "0:0", "attention_weight": "1", "student": "bert-2x8"}, "no pair of two blocks"),
        ({"student": "bert-4x8", "hidden_weight": "1"}, "4 blocks of a student cannot be spread over the 3"),
        ({"retention_config": "0.5"}, "--retention-config: for BERT students only"),
        ({"student": "bert-2x12", "start": "teacher", "vocabulary": None}, "give --student bert-2x8"),
        ({"student": "bert-2x8", "start": "teacher"}, "--vocabulary with --start teacher"),
        ({"teachers": (), "augment": ("mask",)}, "--augment needs a teacher"),
        ({"augment": ("mask",), "mask_rate": 0.0}, "augmentation made no new text"),
        ({"augment": ("lm",)}, "--augment lm needs --lm-checkpoint"),
        ({"teachers": ("nowhere",)}, "teacher nowhere: no such folder or preset"),
        ({"weighting": "given", "teacher_weights": "1,2"}, "expected 1 positive"),
        ({"metric": "pearson", "weighting": "confidence"}, "--weighting confidence: a teacher that predicts scores"),
        ({"train_examples": 0}, "--train-examples=0 is out of range"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str, distill_tiny: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        distill_tiny(**changes)
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()
