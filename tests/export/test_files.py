"""The container: metadata, files inside, signatures, damage."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.export.metadata import TENSOR_AXIS_LABELS, VOCABULARY, AssociatedFile, ModelMetadata, TensorInfo
from power_bert.text.wordpiece_vocabulary import Vocabulary
from power_bert_runtime.tokenizer_settings import AddedToken, TokenizerSettings

METADATA = ModelMetadata(
    name="Näme",
    description="what it does",
    version="2",
    author="someone",
    license="Apache-2.0",
    inputs=(TensorInfo("ids", "ids"), TensorInfo("mask", "mask")),
    outputs=(TensorInfo("probabilities", "", (AssociatedFile("labels.txt", "names", TENSOR_AXIS_LABELS),)),),
    vocabulary=AssociatedFile("vocab.txt", "tokens", VOCABULARY),
    files=(AssociatedFile("extra.json", "more"),),
)


@pytest.fixture(scope="module")
def exported(make_model: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rich.console import Console

    from power_bert.export.description import Description
    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export

    out = tmp_path_factory.mktemp("exported") / "model.tflite"
    model = make_model(extraction="hard", retention=(0.6, 0.3))
    options = ExportOptions(description=Description("Test", "3", "someone", "MIT"), labels=("wrong", "right"))
    export(model, out, options, Console(quiet=True))
    return out


def test_metadata_are_read_as_they_were_written() -> None:
    assert ModelMetadata.from_bytes(METADATA.to_bytes()) == METADATA
    bare = ModelMetadata("n", "", "", "", "", (), ())
    assert ModelMetadata.from_bytes(bare.to_bytes()) == bare
    assert [file.name for file in METADATA.associated_files] == ["extra.json", "labels.txt", "vocab.txt"]
    assert bare.associated_files == []


def test_metadata_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="XXXX"):
        ModelMetadata.from_bytes(METADATA.to_bytes()[:4] + b"XXXX" + METADATA.to_bytes()[8:])


def test_an_exported_file_holds_everything(exported: Path, make_model: Callable[..., Any]) -> None:
    from power_bert.export.stored_model import read_stored_model

    stored = read_stored_model(exported)
    metadata = stored.metadata
    assert metadata is not None
    assert (metadata.name, metadata.version, metadata.author, metadata.license) == ("Test", "3", "someone", "MIT")
    assert [tensor.name for tensor in metadata.inputs] == ["ids", "mask", "segment_ids"]
    assert metadata.vocabulary is not None and metadata.vocabulary.name == "vocab.txt"
    assert stored.files["labels.txt"] == b"wrong\nright\n"
    vocabulary = make_model().classifier.preprocessor.tokenizer.get_vocabulary()
    assert stored.files["vocab.txt"].decode().splitlines() == vocabulary
    settings = stored.settings
    assert settings["lowercase"] is True and settings["max_length"] == 21 and settings["task"] == "cola"
    assert settings["retention"] == [0.6, 0.3] and settings["labels"] == ["wrong", "right"]
    assert settings["dev"]["21"]["scores"] == settings["dev"]["21"]["scores_keras"]
    assert settings["elsewhere"]["21"]["texts"] == 326 and settings["elsewhere"]["21"]["agreement"] == 1.0
    assert settings["limits"] == {"agreement": 0.985, "points_lost": 0.5, "differing": 0.01}


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        (TokenizerSettings(), ""),
        (TokenizerSettings(strip_accents=False), ""),
        (TokenizerSettings(lowercase=False), "the vocabulary is cased"),
        (TokenizerSettings(tokenize_chinese_chars=False), "it makes each CJK ideograph a word"),
        (TokenizerSettings(unk_token="<unk>"), "it needs [PAD], [UNK], [CLS], [SEP]"),
        (TokenizerSettings(mask_token="<mask>"), ""),
        (TokenizerSettings(added_tokens=(AddedToken("[E]"),)), "it knows no added tokens"),
    ],
    ids=str,
)
def test_mediapipe_differences(settings: TokenizerSettings, difference: str) -> None:
    from power_bert.export.description import mediapipe_differences

    assert ("; ".join(mediapipe_differences(settings)) or "").endswith(difference)
    assert bool(mediapipe_differences(settings)) == bool(difference)
    assert mediapipe_differences(settings, surviving_tokens=True)


def test_a_file_that_mediapipe_would_read_wrongly(make_model: Callable[..., Any], tmp_path: Path) -> None:
    """It has its settings and its vocabulary, but no tokenizer of MediaPipe's."""
    import io

    from rich.console import Console

    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export
    from power_bert.export.stored_model import read_stored_model
    from power_bert.model.preprocessor import PowerBertTokenizer

    model, printed = make_model(), io.StringIO()
    plain = model.classifier.preprocessor.tokenizer.get_vocabulary()
    settings = TokenizerSettings(
        strip_accents=False, added_tokens=(AddedToken(plain[-1]),), tokenize_chinese_chars=False
    )
    model.classifier.preprocessor.tokenizer = PowerBertTokenizer(Vocabulary(plain, settings))
    export(model, tmp_path / "model.tflite", ExportOptions(), Console(file=printed, width=200))
    assert "MediaPipe cannot open the file: it makes each CJK ideograph a word; it knows no added" in printed.getvalue()
    stored = read_stored_model(tmp_path / "model.tflite")
    assert stored.metadata is not None and stored.metadata.vocabulary is None
    assert [file.name for file in stored.metadata.files] == ["vocab.txt", "power_bert.json"]
    found = {name: stored.settings[name] for name in settings.to_json()}
    assert TokenizerSettings.from_json(found, "file") == settings
    assert stored.files["vocab.txt"].decode().splitlines() == plain


def test_files_inside_are_stored_and_not_compressed(exported: Path) -> None:
    """MediaPipe reads them in place."""
    with zipfile.ZipFile(exported) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_inspect_shows_it(exported: Path) -> None:
    from power_bert.export.inspection import inspect_file

    shown = "\n".join(inspect_file(exported))
    for text in ("Test", "MIT", "ids  int32 [1, 21]", "lowercase    yes", "0.6,0.3", "vocab.txt", "FULLY_CONNECTED"):
        assert text in shown
    assert "wrong, right" in shown
    assert "elsewhere    length 21, 326 texts of this project: label agreement 100.00 %" in shown


def test_inspect_takes_a_file_of_another_program(make_exportable: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.export.conversion import convert
    from power_bert.export.inference_graph import inference_function
    from power_bert.export.inspection import inspect_file
    from power_bert.export.model_file import pack_model

    path = tmp_path / "plain.tflite"
    path.write_bytes(pack_model(convert(inference_function(make_exportable()), 5)))
    assert "no metadata: MediaPipe cannot open this file" in inspect_file(path)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda content: b"PK" + content, "not a .tflite file"),
        (lambda content: content[: len(content) // 2], "damaged"),
        (lambda content: content[:-30], "damaged"),
        (lambda content: content[:8] + b"\xff" * 64 + content[72:], "damaged"),
        (lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:], "damaged"),
        (lambda content: b"", "not a .tflite file"),
    ],
)
def test_a_damaged_file_is_refused(
    exported: Path, tmp_path: Path, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    from power_bert.export.inspection import inspect_file

    path = tmp_path / "damaged.tflite"
    path.write_bytes(damage(exported.read_bytes()))
    with pytest.raises(UserError, match=complaint) as error:
        inspect_file(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    from power_bert.export.inspection import inspect_file

    with pytest.raises(UserError, match=r"none\.tflite: cannot be read"):
        inspect_file(tmp_path / "none.tflite")


def test_signatures_share_their_weights(make_exportable: Callable[..., Any]) -> None:
    from power_bert.export.conversion import convert
    from power_bert.export.inference_graph import inference_function
    from power_bert.export.model_file import pack_model
    from power_bert.export.signatures import merge_signatures
    from power_bert_runtime.litert import LiteRtClassifier

    function = inference_function(make_exportable(vocabulary_size=5000))
    alone = len(pack_model(convert(function, 12)))
    lengths = {"serving_default": 12, "length_6": 6}
    content = pack_model(merge_signatures([(key, convert(function, length)) for key, length in lengths.items()]))
    assert len(content) < 1.2 * alone
    ids = np.array([[2, 40, 41, 3, 0, 0] + 6 * [0]], np.int32)
    outputs = []
    for key, length in lengths.items():
        classifier = LiteRtClassifier(content, key)
        assert classifier.length == length
        mask = (ids[:, :length] > 0).astype(np.int32)
        outputs.append(classifier({"token_ids": ids[:, :length], "padding_mask": mask, "segment_ids": 0 * mask}))
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-6


@pytest.mark.parametrize("entry", ["two\nlines", "return\r", ""])
def test_a_vocabulary_that_would_not_be_read_back_is_refused(make_model: Callable[..., Any], entry: str) -> None:
    from types import SimpleNamespace

    from power_bert.export import description

    model = make_model()
    tokenizer = SimpleNamespace(vocabulary=["[PAD]", entry])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError, match="entry 1 of vocabulary or labels"):
        patch.setattr(description, "plain_tokenizer", lambda classifier: tokenizer)
        description.files_inside("", model, (), None, "none")  # type: ignore[arg-type]
