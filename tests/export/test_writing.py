"""Files are written all or none, after they were read back."""

from pathlib import Path
from typing import Any

import pytest

from power_bert.errors import UserError
from power_bert.export.model_file import ModelFile
from power_bert.export.writing import write_files


@pytest.fixture(scope="module")
def content() -> ModelFile:
    """The smallest model that is read back."""
    from ai_edge_litert import schema_py_generated as schema

    from power_bert.export.model_file import pack_model

    model = schema.ModelT()
    model.version, model.buffers, model.subgraphs, model.operatorCodes = 3, [schema.BufferT()], [], []
    settings = (
        b'{"task": "", "pairs": false, "labels": [], "lowercase": true, "max_length": 5, "quantization": "none", '
        b'"dev": {}}'
    )
    return ModelFile(pack_model(model), {"vocab.txt": b"[PAD]\n", "power_bert.json": settings})


def test_files_are_written(content: ModelFile, tmp_path: Path) -> None:
    targets = [tmp_path / "new" / "model.tflite", tmp_path / "model-8.tflite"]
    targets[1].write_bytes(b"an older one")
    write_files(dict.fromkeys(targets, content))
    assert [target.read_bytes() for target in targets] == [content.to_bytes()] * 2


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda content: content[:-30], "cannot be read back|not read back"),
        (lambda content: content[:12] + bytes([content[12] ^ 1]) + content[13:], "back"),
        (lambda content: content.replace(b"[PAD]", b"[PAX]"), "cannot be read back: .*CRC"),
        (lambda content: b"", "not a .tflite file"),
    ],
)
def test_what_is_not_read_back_is_not_left(
    content: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any, complaint: str
) -> None:
    """The first file is good and the second one is damaged: neither is there, and an older one is untouched."""
    whole, calls = content.to_bytes(), []

    def to_bytes(file: ModelFile) -> bytes:
        calls.append(file)
        return whole if len(calls) == 1 else damage(whole)

    (tmp_path / "model.tflite").write_bytes(b"an older one")
    monkeypatch.setattr(ModelFile, "to_bytes", to_bytes)
    with pytest.raises(UserError, match=complaint) as error:
        write_files({tmp_path / "model.tflite": content, tmp_path / "model-8.tflite": content})
    assert "model-8.tflite" in str(error.value)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model.tflite", b"an older one")]


def test_a_folder_in_the_way_is_named(content: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").mkdir()
    with pytest.raises(UserError, match=r"model\.tflite cannot be written .*; change --out"):
        write_files({tmp_path / "model.tflite": content})
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_another_content_than_was_put_in_is_refused(
    content: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole file, but of another vocabulary."""
    other = ModelFile(content.model, {**content.files, "vocab.txt": b"[UNK]\n"}).to_bytes()
    monkeypatch.setattr(ModelFile, "to_bytes", lambda file: other)
    with pytest.raises(UserError, match="not read back as it was put in: the files inside"):
        write_files({tmp_path / "model.tflite": content})
    assert list(tmp_path.iterdir()) == []
