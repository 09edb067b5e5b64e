"""Build the student of a distillation run from its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from power_bert.config.distillation import RANDOM, TEACHER, Distillation
from power_bert.distill.teachers import Teacher
from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints import checkpoint_kind, locate_checkpoint, read_checkpoint
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import plain_tokenizer, tokenizer_of
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.pretrained import check_max_length, load_pretrained, rebuild_backbone
from power_bert.model.student_kinds import BERT, bert_size, kind_of
from power_bert.model.students.bert import from_blocks, principal_embeddings, spread_blocks
from power_bert.model.students.build_student import build_backbone, build_student, option_names
from power_bert.model.students.tfidf import inverse_document_frequency
from power_bert.model.text_backbone import TextBackbone
from power_bert.text.tokenizer_files import read_tokenizer
from power_bert.train.training import start_bias
from power_bert_runtime.encoded_texts import EncodedTexts


@dataclass(frozen=True)
class Start:
    """Initialization of a student.

    Attributes:
        tokenizer: Tokenizer of the student.
        encoder: Encoder that supplies the weights; None initializes at random.
    """

    tokenizer: PowerBertTokenizer
    encoder: PowerBertBackbone | None


def find_start(settings: Distillation, teachers: Sequence[Teacher]) -> Start:
    """Load the tokenizer and, if any, the encoder that initializes the student.

    Raises:
        UserError: There is no such checkpoint, or the teacher's weights are not accessible.
    """
    if settings.start == RANDOM:
        return Start(load_tokenizer(settings.vocabulary), None)
    if settings.start == TEACHER:
        classifier = own_classifier(teachers[0], "--start teacher")
        return Start(tokenizer_of(classifier), bert_of(classifier, teachers[0].name))
    pretrained = load_pretrained(settings.start)
    return Start(pretrained.tokenizer, pretrained.backbone)


def own_classifier(teacher: Teacher, wanted_for: str) -> PowerBertTextClassifier:
    """Return the teacher's classifier; raises a UserError if the weights of this kind of teacher are not accessible."""
    if not teacher.is_own:
        raise UserError(
            f"{wanted_for}: teacher {teacher.name} is no BERT of this project or of Hugging Face, so its "
            "weights cannot be taken over or compared; give such a teacher first"
        )
    return teacher.classifier


def bert_of(classifier: PowerBertTextClassifier, source: str) -> PowerBertBackbone:
    """Return the encoder of a classifier without token elimination; raises a UserError if it is no BERT."""
    if not isinstance(classifier.backbone, PowerBertBackbone):
        raise UserError(f"{source}: no BERT, so there are no blocks to start from or to compare with")
    return rebuild_backbone(classifier.backbone, extraction=None, retention=None)


def load_tokenizer(source: str) -> PowerBertTokenizer:
    """Load the tokenizer of a checkpoint of any format, or of a vocab.txt with the tokenizer files beside it.

    Raises:
        UserError: The source has no vocabulary.
    """
    if Path(source).is_file() and Path(source).suffix == ".txt":
        return PowerBertTokenizer(read_tokenizer(Path(source).parent, Path(source)))
    location = locate_checkpoint(source)
    if (location / "tokenizer.json").is_file() and checkpoint_kind(location) == "power_bert":
        return PowerBertTokenizer.from_preset(str(location))
    checkpoint = read_checkpoint(source)
    if checkpoint.vocabulary is None:
        raise UserError(f"--vocabulary {source}: no vocabulary there; give a vocab.txt or a checkpoint that has one")
    return PowerBertTokenizer(checkpoint.vocabulary, checkpoint.lowercase)


def make_student(settings: Distillation, start: Start, labels: np.ndarray | None) -> PowerBertTextClassifier:
    """Build the initialized student; `set_document_frequencies` sets its document frequencies later.

    Args:
        settings: Settings of the run.
        start: Result of `find_start`.
        labels: Labels of the training data, (examples,); the output bias of a regressor starts at their mean.

    Raises:
        UserError: The student has no such option, or the initialization does not fit it.
    """
    task = settings.task_definition
    if kind_of(settings.student) == BERT:
        backbone: TextBackbone = _bert(settings, start)
    else:
        size = start.tokenizer.vocabulary_size()
        backbone = build_backbone(settings.student, size, task.num_outputs, **settings.student_options)
        if start.encoder is not None:
            _take_embeddings(settings.student, backbone, start.encoder)
    check_max_length(settings.max_length, backbone)
    student = build_student(
        backbone, start.tokenizer, settings.max_length, task.num_outputs, task.class_names, settings.dropout
    )
    start_bias(student, labels)
    return student


def set_document_frequencies(student: PowerBertTextClassifier, texts: EncodedTexts) -> None:
    """Set the inverse document frequencies of a TF-IDF student; other students are left unchanged.

    Args:
        student: Student, changed in place.
        texts: All texts of the transfer set, unlabeled ones included; a token that occurs in none of them has idf 0.
    """
    if not hasattr(student.backbone, "bag"):
        return
    tokenizer = plain_tokenizer(student)
    frequency = inverse_document_frequency(texts, tokenizer.vocabulary_size, tokenizer.special_ids)
    student.backbone.bag.set_idf(frequency)


def check_options(settings: Distillation) -> None:
    """Check the names of the student's options.

    Raises:
        UserError: The student does not have one.
    """
    known = option_names(settings.student)
    for name, value in settings.student_options.items():
        if name not in known:
            raise UserError(f"--set {name}={value}: expected NAME=VALUE; {settings.student} has {', '.join(known)}")


def _bert(settings: Distillation, start: Start) -> PowerBertBackbone:
    size = bert_size(settings.student.partition("-")[2])
    if start.encoder is None:
        backbone = build_backbone(settings.student, start.tokenizer.vocabulary_size(), 1, **settings.student_options)
    else:
        backbone = _from_encoder(settings, start.encoder, size)
    if settings.retention_config is None:
        return backbone
    retention = Retention.parse(settings.retention_config).checked(backbone.num_layers, settings.max_length)
    return rebuild_backbone(backbone, extraction="hard", retention=retention)


def _from_encoder(settings: Distillation, encoder: PowerBertBackbone, size: dict[str, int]) -> PowerBertBackbone:
    if size["hidden_dim"] != encoder.hidden_dim:
        raise UserError(
            f"--student {settings.student} --start {settings.start}: the student is {size['hidden_dim']} wide, but the "
            f"encoder it is to start from is {encoder.hidden_dim}; give --student bert-{size['num_layers']}x"
            f"{encoder.hidden_dim}, or another --start"
        )
    blocks = settings.start_blocks or spread_blocks(size["num_layers"], encoder.num_layers)
    try:
        return from_blocks(encoder, blocks, **settings.student_options)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{name}={value}" for name, value in settings.student_options.items())
        raise UserError(f"--set {given} with --start {settings.start}: {error}") from None


def _take_embeddings(student: str, backbone: TextBackbone, encoder: PowerBertBackbone) -> None:
    if not hasattr(backbone, "embedding_dim"):
        raise UserError(
            f"--student {student} has no embeddings that could come from another encoder; leave --start out"
        )
    table = principal_embeddings(encoder, backbone.embedding_dim)
    rows = np.asarray(backbone.token_embedding.embeddings).copy()
    shared = min(len(rows), len(table))  # some checkpoints pad their embedding table
    rows[:shared] = table[:shared]
    backbone.token_embedding.embeddings.assign(rows)
