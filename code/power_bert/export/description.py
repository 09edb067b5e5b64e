"""Description inside an exported file: standard metadata, vocabulary, labels and this project's settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from power_bert.elimination.flops import EncoderShape, forward_flops
from power_bert.elimination.retention import Retention
from power_bert.errors import UserError, shorten
from power_bert.export.metadata import (
    TENSOR_AXIS_LABELS,
    VOCABULARY,
    AssociatedFile,
    ModelMetadata,
    TensorInfo,
)
from power_bert.export.model_file import (
    add_metadata,
    pack_model,
)
from power_bert.export.parity import Agreement, Limits, Parity
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.predict.metrics import is_defined
from power_bert.runs.trained_model import TrainedModel
from power_bert_runtime.contents import LABELS_FILE, OUTPUT_NAME, SETTINGS_FILE, SURVIVING_TOKENS, VOCABULARY_FILE
from power_bert_runtime.tokenizer_settings import TokenizerSettings

# Version of the keys of SETTINGS_FILE.
_SETTINGS_FORMAT = 1


@dataclass(frozen=True)
class Description:
    """The user's description of a model, for the metadata.

    Attributes:
        name: Name of the model; empty to derive it from the task.
        version: Version of the model.
        author: Author of the model; empty if not stated.
        license: License of the model; empty if not stated.
    """

    name: str = ""
    version: str = "1"
    author: str = ""
    license: str = ""


@dataclass(frozen=True)
class Checked:
    """Result of the comparison of a file with Keras.

    Attributes:
        parities: Length → comparison with Keras, the longest length first.
        texts_source: Where the texts from elsewhere come from.
        limits: Limits that the comparison had to meet.
    """

    parities: Mapping[int, Parity]
    texts_source: str
    limits: Limits


def class_labels(model: TrainedModel, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the class names in the order of the outputs; empty for a regression.

    Args:
        model: Model whose outputs they name.
        asked: Names that replace the model's own; empty to keep these.

    Raises:
        UserError: The names do not fit the model's outputs.
    """
    classifier = model.classifier
    own = classifier.labels or (model.task.class_names if model.task else None) or ()
    if classifier.is_regressor:
        if asked:
            raise UserError(f"{model.source} gives a score, which has no labels; leave --labels out")
        return ()
    labels = tuple(label.strip() for label in asked) or tuple(own)
    if len(labels) != classifier.num_classes:
        raise UserError(
            f"{len(labels)} labels ({', '.join(labels)}) for a model of {classifier.num_classes} classes"
            f" ({', '.join(own)}): give one name for each class with --labels, in this order"
        )
    if "" in labels or len(set(labels)) != len(labels) or any("\n" in label for label in labels):
        raise UserError(f"labels {', '.join(map(repr, labels))}: expected names that are not empty and all different")
    return labels


def pack_described(
    merged: schema.ModelT,
    model: TrainedModel,
    labels: Sequence[str],
    length: int,
    description: Description,
    surviving_tokens: bool,
) -> bytes:
    """Return the bytes of a model with its metadata.

    Args:
        merged: The converted model, with a signature for each length; the metadata are added to it.
        model: Model from which it was made.
        labels: Class names; empty for a regression.
        length: The longest sequence length, in tokens.
        description: The user's description.
        surviving_tokens: Whether the model has the output `SURVIVING_TOKENS`.
    """
    outputs = _outputs(labels, surviving_tokens)
    is_for_mediapipe = not mediapipe_differences(plain_tokenizer(model.classifier).settings, surviving_tokens)
    add_metadata(merged, _metadata(model, bool(labels), length, description, outputs, is_for_mediapipe))
    return pack_model(merged)


def files_inside(
    model_sha256: str,
    model: TrainedModel,
    labels: Sequence[str],
    checked: Checked,
    quantization: str,
    further: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Return the files that are put inside or beside a model: vocabulary, labels and settings.

    Args:
        model_sha256: Checksum of the model.
        model: Model from which it was made.
        labels: Class names; empty for a regression.
        checked: Result of the comparison with Keras.
        quantization: Form of the file, one of `power_bert.export.forms.FORMS`.
        further: Settings of the file's format.

    Returns:
        Name → content.
    """
    files = {VOCABULARY_FILE: _lines(plain_tokenizer(model.classifier).vocabulary)}
    if labels:
        files[LABELS_FILE] = _lines(labels)
    settings = _settings(model, labels, checked, quantization) | dict(further or {})
    settings |= {"weights_sha256": _weights_sha256(model), "model_sha256": model_sha256}
    files[SETTINGS_FILE] = (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
    return files


def mediapipe_differences(settings: TokenizerSettings, surviving_tokens: bool = False) -> list[str]:
    """Return why MediaPipe cannot run a file as Keras does; empty if plain English gets the same results.

    Its BERT tokenizer always lowercases A to Z and separates CJK ideographs, and has fixed special tokens and no added
    tokens (mediapipe/tasks/cc/text/tokenizers/bert_tokenizer.cc).

    Args:
        settings: Settings of the model's tokenizer.
        surviving_tokens: Whether the model has the output `SURVIVING_TOKENS`.
    """
    usual = TokenizerSettings()
    differences = {
        "it lowercases, and the vocabulary is cased": not settings.lowercase,
        "it makes each CJK ideograph a word": not settings.tokenize_chinese_chars,
        f"it needs {', '.join(usual.needed_tokens)}": settings.needed_tokens != usual.needed_tokens,
        "it knows no added tokens": bool(settings.added_tokens),
        "it takes one output, and surviving tokens are a second one": surviving_tokens,
    }
    return [difference for difference, is_there in differences.items() if is_there]


def _outputs(labels: Sequence[str], surviving_tokens: bool) -> tuple[TensorInfo, ...]:
    file = AssociatedFile(LABELS_FILE, "Class names in the order of the output, one on each line.", TENSOR_AXIS_LABELS)
    gives = "Probability of each class." if labels else "The predicted score."
    outputs = [TensorInfo(OUTPUT_NAME, gives, (file,) if labels else ())]
    if surviving_tokens:
        left = "1 for each token of the input that is left after a block, else 0; one row per block."
        outputs.append(TensorInfo(SURVIVING_TOKENS, left))
    return tuple(outputs)


def _metadata(
    model: TrainedModel,
    has_labels: bool,
    length: int,
    description: Description,
    outputs: tuple[TensorInfo, ...],
    is_for_mediapipe: bool,
) -> ModelMetadata:
    task = model.task.name if model.task else "text"
    takes = "a pair of texts" if model.task and model.task.is_pair else "a text"
    vocabulary = AssociatedFile(VOCABULARY_FILE, "WordPiece vocabulary, one token on each line.", VOCABULARY)
    settings = AssociatedFile(SETTINGS_FILE, "Settings of the tokenizer and origin of the model, as JSON.")
    return ModelMetadata(
        name=description.name or f"PoWER-BERT {task}",
        description=f"{'Classifies' if has_labels else 'Scores'} {takes} of up to {length} tokens ({task}).",
        version=description.version,
        author=description.author or "not stated",
        license=description.license or "not stated",
        inputs=(
            TensorInfo("ids", "Token ids: [CLS] text [SEP], for pairs followed by text [SEP], then [PAD]."),
            TensorInfo("mask", "1 for each of these tokens, 0 for [PAD]."),
            TensorInfo("segment_ids", "1 for the second text of a pair and its [SEP], else 0."),
        ),
        outputs=outputs,
        # MediaPipe builds its tokenizer from this entry and refuses a file without it.
        vocabulary=vocabulary if is_for_mediapipe else None,
        files=(settings,) if is_for_mediapipe else (vocabulary, settings),
    )


def _settings(model: TrainedModel, labels: Sequence[str], checked: Checked, quantization: str) -> dict[str, Any]:
    """Return the settings that the metadata schema has no place for."""
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
            "retention": None if backbone.retention is None else backbone.retention.to_json(),
            "fuse_dropped": backbone.fuse_dropped,
            "flops": {
                str(length): forward_flops(
                    EncoderShape.of(backbone.get_config(), model.classifier.num_classes), [length], backbone.retention
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


def _weights_sha256(model: TrainedModel) -> str:
    """Return a checksum by which files that were exported from the same weights recognize each other."""
    checksum = hashlib.sha256()
    for weight in model.classifier.get_weights():
        checksum.update(weight.tobytes())
    return checksum.hexdigest()


def _agreement(agreement: Agreement) -> dict[str, float | None]:
    return _defined({"agreement": agreement.share, "largest_difference": agreement.difference})


def _tokenizer_settings(settings: TokenizerSettings) -> dict[str, Any]:
    return dataclasses.replace(settings, strip_accents=settings.strips_accents).to_json()


def _defined(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Replace undefined scores by None, because JSON has no NaN."""
    return {name: score if is_defined(score) else None for name, score in scores.items()}


def _lines(values: Sequence[str]) -> bytes:
    """Write each value on a line.

    Raises:
        UserError: A value would not be read back as it is.
    """
    for number, value in enumerate(values):
        if "\n" in value or value.endswith("\r") or (not value and number == len(values) - 1):
            raise UserError(f"entry {number} of vocabulary or labels, {shorten(repr(value))}, does not fit on a line")
    return "".join(f"{value}\n" for value in values).encode("utf-8")


def shown_retention(settings: Mapping[str, Any]) -> str:
    """Return the retention configuration in the settings of an exported file as text; empty if there is none."""
    values = settings.get("retention")
    return Retention.of(values).shown(settings.get("fuse_dropped", False)) if values else ""
