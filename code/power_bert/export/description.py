"""What an exported file says about itself: standard metadata, vocabulary, labels and this project's settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from power_bert.errors import UserError, shorten
from power_bert.export.conversion import OUTPUT_NAME
from power_bert.export.metadata import (
    TENSOR_AXIS_LABELS,
    VOCABULARY,
    AssociatedFile,
    ModelMetadata,
    TensorInfo,
)
from power_bert.export.model_file import (
    LABELS_FILE,
    SETTINGS_FILE,
    VOCABULARY_FILE,
    add_metadata,
    pack_model,
)
from power_bert.export.parity import Agreement, Limits, Parity
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.flops import Shape, forward_flops
from power_bert.model.pretrained import plain_tokenizer
from power_bert.text.tokenizer_settings import TokenizerSettings
from power_bert.train.metrics import is_defined
from power_bert.train.trained_model import TrainedModel

# The version of SETTINGS_FILE's keys.
_SETTINGS_FORMAT = 1


@dataclass(frozen=True)
class Description:
    """What the user says about the model.

    Attributes:
        name: of the model; empty: from the task.
        version: of the model.
        author: who made it; empty: left open.
        license: of the model; empty: left open.
    """

    name: str = ""
    version: str = "1"
    author: str = ""
    license: str = ""


@dataclass(frozen=True)
class Checked:
    """What the check of a file found.

    Attributes:
        parities: Length → how the file compares with Keras, the longest length first.
        texts_source: Where the texts from elsewhere come from.
        limits: What was demanded.
    """

    parities: Mapping[int, Parity]
    texts_source: str
    limits: Limits


def class_labels(model: TrainedModel, asked: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes, in the order of the outputs; empty for a regression.

    Args:
        model: whose outputs they name.
        asked: in place of the model's own; empty keeps those.

    Raises:
        UserError: they do not fit the model's outputs.
    """
    classifier = model.classifier
    own = classifier.labels or (model.task.labels if model.task else None) or ()
    if classifier.is_regressor:
        if asked:
            raise UserError(f"{model.source} gives a score, which has no labels; leave --labels out")
        return ()
    labels = tuple(label.strip() for label in asked) or tuple(own)
    if len(labels) != classifier.num_classes:
        raise UserError(
            f"{len(labels)} labels ({', '.join(labels)}) for a model of {classifier.num_classes} classes"
            f" ({', '.join(own)}): give one name a class with --labels, in this order"
        )
    if "" in labels or len(set(labels)) != len(labels) or any("\n" in label for label in labels):
        raise UserError(f"labels {', '.join(map(repr, labels))}: expected names that are not empty and all different")
    return labels


def pack_described(
    merged: schema.ModelT, model: TrainedModel, labels: Sequence[str], length: int, description: Description
) -> bytes:
    """The bytes of a model with its metadata.

    Args:
        merged: the model, one signature a length; the metadata are put into it.
        model: from which it was made.
        labels: names of the classes; empty for a regression.
        length: the longest one.
        description: what the user says.
    """
    is_for_mediapipe = not mediapipe_differences(plain_tokenizer(model.classifier).settings)
    add_metadata(merged, _metadata(model, bool(labels), length, description, is_for_mediapipe))
    return pack_model(merged)


def files_inside(
    packed: bytes, model: TrainedModel, labels: Sequence[str], checked: Checked, quantization: str
) -> dict[str, bytes]:
    """Name → content of the files that travel with a model: vocabulary, labels and settings.

    Args:
        packed: the bytes of the model.
        model: from which it was made.
        labels: names of the classes; empty for a regression.
        checked: what the check found.
        quantization: its form.
    """
    files = {VOCABULARY_FILE: _lines(plain_tokenizer(model.classifier).vocabulary)}
    if labels:
        files[LABELS_FILE] = _lines(labels)
    settings = _settings(model, labels, checked, quantization) | {"model_sha256": hashlib.sha256(packed).hexdigest()}
    files[SETTINGS_FILE] = (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
    return files


def mediapipe_differences(settings: TokenizerSettings) -> list[str]:
    """What MediaPipe's BERT tokenizer does otherwise, whatever the text; empty where plain English gets the same ids.

    It always lower-cases A to Z and sets CJK ideographs apart, and has fixed special tokens and no added ones
    (mediapipe/tasks/cc/text/tokenizers/bert_tokenizer.cc).
    """
    usual = TokenizerSettings()
    differences = {
        "it lower-cases, and the vocabulary is cased": not settings.lowercase,
        "it makes each CJK ideograph a word": not settings.tokenize_chinese_chars,
        f"it wants {', '.join(usual.needed_tokens)}": settings.needed_tokens != usual.needed_tokens,
        "it knows no added tokens": bool(settings.added_tokens),
    }
    return [difference for difference, is_there in differences.items() if is_there]


def _metadata(
    model: TrainedModel, has_labels: bool, length: int, description: Description, is_for_mediapipe: bool
) -> ModelMetadata:
    task = model.task.name if model.task else "text"
    takes = "a pair of texts" if model.task and model.task.is_pair else "a text"
    labels = AssociatedFile(
        LABELS_FILE, "Names of the classes, one a line, in the order of the output.", TENSOR_AXIS_LABELS
    )
    vocabulary = AssociatedFile(VOCABULARY_FILE, "WordPiece vocabulary, one token a line.", VOCABULARY)
    settings = AssociatedFile(SETTINGS_FILE, "Settings of the tokenizer and origin of the model, as JSON.")
    gives = "Probability of each class." if has_labels else "The predicted score."
    return ModelMetadata(
        name=description.name or f"PoWER-BERT {task}",
        description=f"{'Classifies' if has_labels else 'Scores'} {takes} of up to {length} word pieces ({task}).",
        version=description.version,
        author=description.author or "not stated",
        license=description.license or "not stated",
        inputs=(
            TensorInfo("ids", "Ids of the word pieces: [CLS] text [SEP], for pairs again text [SEP], then [PAD]."),
            TensorInfo("mask", "1 for each of these word pieces, then 0."),
            TensorInfo("segment_ids", "1 for the second text of a pair and its [SEP], else 0."),
        ),
        outputs=(TensorInfo(OUTPUT_NAME, gives, (labels,) if has_labels else ()),),
        # MediaPipe makes its tokenizer of this entry; without it, it refuses the file.
        vocabulary=vocabulary if is_for_mediapipe else None,
        files=(settings,) if is_for_mediapipe else (vocabulary, settings),
    )


def _settings(model: TrainedModel, labels: Sequence[str], checked: Checked, quantization: str) -> dict[str, Any]:
    """What the metadata's schema has no place for."""
    backbone = model.classifier.backbone
    settings: dict[str, Any] = {
        "format": _SETTINGS_FORMAT,
        "task": model.task.name if model.task else "",
        "regression": model.classifier.is_regressor,
        "pairs": bool(model.task and model.task.is_pair),
        "labels": list(labels),
        **_tokenizer_settings(plain_tokenizer(model.classifier).settings),
        "max_length": max(checked.parities),
        "lengths": list(checked.parities),
        "quantization": quantization,
        "architecture": type(backbone).__name__,
    }
    if isinstance(backbone, PowerBertBackbone):
        settings |= {
            "similarity": backbone.similarity,
            "retention": None if backbone.retention is None else list(backbone.retention),
            "flops": {
                str(length): forward_flops(
                    Shape.of(backbone.get_config(), model.classifier.num_classes), [length], backbone.retention
                ).total
                for length in checked.parities
            },
        }
    settings["dev"] = {
        str(length): {
            "examples": parity.dev.texts,
            "scores_keras": _defined(parity.keras_scores),
            "scores": _defined(parity.scores),
            **_agreement(parity.dev),
        }
        for length, parity in checked.parities.items()
    }
    settings["elsewhere"] = {
        str(length): {
            "texts": parity.elsewhere.texts,
            "source": checked.texts_source,
            **_agreement(parity.elsewhere),
        }
        for length, parity in checked.parities.items()
    }
    settings["limits"] = asdict(checked.limits)
    return settings


def _agreement(agreement: Agreement) -> dict[str, float | None]:
    return _defined({"agreement": agreement.share, "largest_difference": agreement.difference})


def _tokenizer_settings(settings: TokenizerSettings) -> dict[str, Any]:
    return dataclasses.replace(settings, strip_accents=settings.strips_accents).to_json()


def _defined(scores: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: an undefined score is null."""
    return {name: score if is_defined(score) else None for name, score in scores.items()}


def _lines(values: Sequence[str]) -> bytes:
    """A value a line; a UserError for one that readers would not get back."""
    for number, value in enumerate(values):
        if "\n" in value or value.endswith("\r") or (not value and number == len(values) - 1):
            raise UserError(f"entry {number} of vocabulary or labels, {shorten(repr(value))}, does not fit on a line")
    return "".join(f"{value}\n" for value in values).encode("utf-8")
