"""From the settings of a distilled run to its student, before the first update."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from power_bert.distill.teachers import Teacher
from power_bert.distill_config import RANDOM, TEACHER, Distillation
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints import checkpoint_kind, locate_checkpoint, read_checkpoint
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTokenizer
from power_bert.model.pretrained import (
    check_max_length,
    load_pretrained,
    plain_tokenizer,
    rebuild_backbone,
    tokenizer_of,
)
from power_bert.model.retention import parse_retention
from power_bert.model.student_kinds import BERT, bert_size, kind_of
from power_bert.model.students import build_backbone, build_student, option_names
from power_bert.model.students.bert import from_blocks, principal_embeddings, spread_blocks
from power_bert.model.students.tfidf import inverse_document_frequency
from power_bert.model.text_backbone import TextBackbone
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.text.tokenizer_files import read_tokenizer
from power_bert.train.training import start_bias


@dataclass(frozen=True)
class Start:
    """Where a student comes from.

    Attributes:
        tokenizer: of the student.
        encoder: whose weights it takes; None starts at random.
    """

    tokenizer: PowerBertTokenizer
    encoder: PowerBertBackbone | None


def find_start(settings: Distillation, teachers: Sequence[Teacher]) -> Start:
    """Read the encoder, if any, and the tokenizer with which the student starts.

    Raises:
        UserError: there is no such checkpoint, or the teacher's weights cannot be had.
    """
    if settings.start == RANDOM:
        return Start(load_tokenizer(settings.vocabulary), None)
    if settings.start == TEACHER:
        classifier = own_classifier(teachers[0], "--start teacher")
        return Start(tokenizer_of(classifier), bert_of(classifier, teachers[0].name))
    pretrained = load_pretrained(settings.start)
    return Start(pretrained.tokenizer, pretrained.backbone)


def own_classifier(teacher: Teacher, wanted_for: str) -> PowerBertTextClassifier:
    """The teacher in memory; a UserError where it is of a kind whose inner weights are not at hand."""
    if not teacher.is_own:
        raise UserError(
            f"{wanted_for}: teacher {teacher.name} is no BERT of this project or of Hugging Face, so its "
            "weights cannot be taken over or compared; give such a teacher first"
        )
    return teacher.classifier


def bert_of(classifier: PowerBertTextClassifier, source: str) -> PowerBertBackbone:
    """The encoder of a classifier without elimination; a UserError where it is no BERT."""
    if not isinstance(classifier.backbone, PowerBertBackbone):
        raise UserError(f"{source}: no BERT, so there are no blocks to start from or to compare with")
    return rebuild_backbone(classifier.backbone, extraction=None, retention=None)


def load_tokenizer(source: str) -> PowerBertTokenizer:
    """The tokenizer of a checkpoint of any kind, or of a vocab.txt with the tokenizer files beside it.

    Raises:
        UserError: there is none.
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
    """The student with its weights before the first update, but for its document frequencies.

    Args:
        settings: of the run.
        start: of `find_start`.
        labels: of the training data; a regressor starts from the mean score.

    Raises:
        UserError: an option that the student does not have, or a start that does not fit it.
    """
    task, options = settings.task_definition, parse_options(settings)
    if kind_of(settings.student) == BERT:
        backbone: TextBackbone = _bert(settings, start, options)
    else:
        size = start.tokenizer.vocabulary_size()
        backbone = build_backbone(settings.student, size, task.num_outputs, **options)
        if start.encoder is not None:
            _take_embeddings(settings.student, backbone, start.encoder)
    check_max_length(settings.max_length, backbone)
    student = build_student(
        backbone, start.tokenizer, settings.max_length, task.num_outputs, task.labels, settings.dropout
    )
    start_bias(student, labels)
    return student


def set_document_frequencies(student: PowerBertTextClassifier, texts: EncodedTexts) -> None:
    """Let a bag of word pieces weigh them by how many texts have them; other students know no such weights.

    Args:
        student: changed in place.
        texts: all that it learns from, also those that only teachers label: pieces of none of them never count.
    """
    if not hasattr(student.backbone, "bag"):
        return
    tokenizer = plain_tokenizer(student)
    frequency = inverse_document_frequency(texts, tokenizer.vocabulary_size, tokenizer.special_ids)
    student.backbone.bag.set_idf(frequency)


def parse_options(settings: Distillation) -> dict[str, Any]:
    """Constructor arguments from "units=150" and the like.

    Raises:
        UserError: a text that is no assignment, or an option that the student does not have.
    """
    options: dict[str, Any] = {}
    known = option_names(settings.student)
    for text in settings.student_options:
        name, is_assignment, value = text.partition("=")
        if not is_assignment or name.strip() not in known:
            raise UserError(f"--set {text}: expected NAME=VALUE; {settings.student} has {', '.join(known)}")
        options[name.strip()] = _parse_value(value.strip())
    return options


def _parse_value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # a word, such as the name of a similarity


def _bert(settings: Distillation, start: Start, options: dict[str, Any]) -> PowerBertBackbone:
    size = bert_size(settings.student.partition("-")[2])
    if start.encoder is None:
        backbone = build_backbone(settings.student, start.tokenizer.vocabulary_size(), 1, **options)
    else:
        backbone = _from_encoder(settings, start.encoder, size, options)
    if settings.retention_config is None:
        return backbone
    retention = parse_retention(settings.retention_config, backbone.num_layers, settings.max_length)
    return rebuild_backbone(backbone, extraction="hard", retention=retention)


def _from_encoder(
    settings: Distillation, encoder: PowerBertBackbone, size: dict[str, int], options: dict[str, Any]
) -> PowerBertBackbone:
    if size["hidden_dim"] != encoder.hidden_dim:
        raise UserError(
            f"--student {settings.student} --start {settings.start}: the student is {size['hidden_dim']} wide, but the "
            f"encoder it is to start from is {encoder.hidden_dim}; give --student bert-{size['num_layers']}x"
            f"{encoder.hidden_dim}, or another --start"
        )
    if settings.start_blocks is None:
        blocks: Sequence[int] = spread_blocks(size["num_layers"], encoder.num_layers)
    else:
        blocks = _parse_blocks(settings.start_blocks, size["num_layers"])
    try:
        return from_blocks(encoder, blocks, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"--set {', '.join(settings.student_options)} with --start {settings.start}: {error}") from None


def _parse_blocks(text: str, num_blocks: int) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != num_blocks or not all(part.isdecimal() for part in parts):
        raise UserError(f"--start-blocks {text}: expected {num_blocks} numbers of blocks, as in 2,4,6")
    return [int(part) for part in parts]


def _take_embeddings(student: str, backbone: TextBackbone, encoder: PowerBertBackbone) -> None:
    if not hasattr(backbone, "embedding_dim"):
        raise UserError(
            f"--student {student} has no embeddings that could come from another encoder; leave --start out"
        )
    table = principal_embeddings(encoder, backbone.embedding_dim)
    rows = np.asarray(backbone.token_embedding.embeddings).copy()
    shared = min(len(rows), len(table))  # some checkpoints pad their table
    rows[:shared] = table[:shared]
    backbone.token_embedding.embeddings.assign(rows)
