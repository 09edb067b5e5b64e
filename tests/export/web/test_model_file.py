"""Tests of the page's reader of model files, on files that hold no operations: only what the reader looks at."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

from power_bert.export.metadata import TENSOR_AXIS_LABELS, VOCABULARY, AssociatedFile, ModelMetadata, TensorInfo
from power_bert.export.model_file import add_metadata, append_files, pack_model
from power_bert.text.tokenizer_settings import TokenizerSettings

Inspect = Callable[..., list[dict[str, Any]]]
ROLES = ("ids", "mask", "segment_ids")
FILES = {
    "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncaf\u00e9\n\u2028\n".encode(),
    "labels.txt": b"bad\r\ngood\r\n",
    "power_bert.json": b'{"task": "sst-2", "pairs": false, "lowercase": false, "max_length": 6}',
}


@dataclasses.dataclass
class Model:
    """A model file that a test changes before it is written."""

    lengths: tuple[int, ...] = (7,)
    roles: tuple[str, ...] = ROLES
    classes: int = 2
    input_type: int = schema.TensorType.INT32
    output_type: int = schema.TensorType.FLOAT32
    shape_signature: tuple[int, ...] | None = None
    with_signatures: bool = True
    with_metadata: bool = True
    custom_operation: str | None = None
    files: Mapping[str, bytes] = dataclasses.field(default_factory=lambda: dict(FILES))

    def to_bytes(self) -> bytes:
        """The file; the signature's inputs stand in the reverse order of the subgraph's, as in converted models."""
        model = schema.ModelT()
        model.version, model.description = 3, "test"
        model.buffers = [schema.BufferT()]
        model.operatorCodes = [_operator_code(self.custom_operation)]
        model.subgraphs = [self._subgraph(length) for length in self.lengths]
        if self.with_signatures:
            model.signatureDefs = [self._signature(index) for index in range(len(self.lengths))]
        if self.with_metadata:
            add_metadata(model, self._metadata())
        return append_files(pack_model(model), self.files) if self.files else pack_model(model)

    def _subgraph(self, length: int) -> schema.SubGraphT:
        subgraph = schema.SubGraphT()
        inputs = [_tensor(f"in_{role}:0", (1, length), self.input_type, self.shape_signature) for role in self.roles]
        subgraph.tensors = [_tensor("out", (1, self.classes), self.output_type), *inputs]
        subgraph.inputs, subgraph.outputs, subgraph.operators = list(range(1, len(inputs) + 1)), [0], []
        return subgraph

    def _signature(self, index: int) -> schema.SignatureDefT:
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = f"length_{self.lengths[index]}", index
        entries = [(f"x_{role}", position) for position, role in enumerate(self.roles, start=1)]
        signature.inputs = [_tensor_map(name, tensor) for name, tensor in reversed(entries)]
        signature.outputs = [_tensor_map("probabilities", 0)]
        return signature

    def _metadata(self) -> ModelMetadata:
        labels = AssociatedFile("labels.txt", "the labels", TENSOR_AXIS_LABELS)
        return ModelMetadata(
            **{"name": "Tiny", "description": "for tests", "version": "3", "author": "A. Author", "license": "MIT"},
            inputs=tuple(TensorInfo(role, "") for role in self.roles),
            outputs=(TensorInfo("probability", "", (labels,)),),
            vocabulary=AssociatedFile("vocab.txt", "the vocabulary", VOCABULARY),
        )


def _tensor(
    name: str, shape: tuple[int, ...], element_type: int, signature: tuple[int, ...] | None = None
) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), element_type, 0
    tensor.shapeSignature = None if signature is None else list(signature)
    return tensor


def _operator_code(custom: str | None) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    kind = schema.BuiltinOperator.SOFTMAX if custom is None else schema.BuiltinOperator.CUSTOM
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = kind, kind, custom
    return code


def _tensor_map(name: str, tensor_index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor_index
    return entry


@pytest.fixture
def inspect(run_script: Callable[..., str], site: Path, tmp_path: Path) -> Inspect:
    """What the page reads out of files with these contents."""

    def read(*contents: bytes) -> list[dict[str, Any]]:
        paths = [tmp_path / f"model_{index}.tflite" for index in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return json.loads(run_script("read_model.mjs", site, *paths))

    return read


def test_a_whole_file(inspect: Inspect) -> None:
    content = Model().to_bytes()
    (model,) = inspect(content)
    assert model == {
        **{"fileName": "model_0.tflite", "size": len(content), "name": "Tiny", "description": "for tests"},
        **{"version": "3", "author": "A. Author", "licence": "MIT", "task": "sst-2", "maxLength": 6},
        "vocabulary": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "caf\u00e9", "\u2028"],
        **{"labels": ["bad", "good"], "tokenizer": TokenizerSettings(lowercase=False).to_json(), "takesPairs": False},
        "signatures": [
            {"key": "length_7", "length": 7, "numOutputs": 2, "inputNames": {role: f"x_{role}" for role in ROLES}}
        ],
    }


def test_several_lengths_are_sorted(inspect: Inspect) -> None:
    (model,) = inspect(Model(lengths=(64, 8, 32)).to_bytes())
    assert [signature["length"] for signature in model["signatures"]] == [8, 32, 64]
    assert [signature["key"] for signature in model["signatures"]] == ["length_8", "length_32", "length_64"]


def test_inputs_are_told_apart_by_the_metadata(inspect: Inspect) -> None:
    (model,) = inspect(Model(roles=("segment_ids", "ids", "mask")).to_bytes())
    assert model["signatures"][0]["inputNames"] == {role: f"x_{role}" for role in ROLES}


def test_a_file_without_signatures_or_settings(inspect: Inspect) -> None:
    files = {name: content for name, content in FILES.items() if name != "power_bert.json"}
    (model,) = inspect(Model(with_signatures=False, files=files).to_bytes())
    assert model["signatures"][0]["inputNames"] == {role: f"in_{role}:0" for role in ROLES}
    assert (model["tokenizer"]["lowercase"], model["takesPairs"], model["maxLength"]) == (True, False, 7)


def test_a_regression_needs_no_labels(inspect: Inspect) -> None:
    files = {name: content for name, content in FILES.items() if name != "labels.txt"}
    (model,) = inspect(Model(classes=1, files=files).to_bytes())
    assert model["labels"] == []


def test_a_deflated_archive_with_its_own_offsets(inspect: Inspect) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in FILES.items():
            zipped.writestr(name, content)
    bare = Model(files={}).to_bytes()
    (model,) = inspect(bare + archive.getvalue())
    assert model["labels"] == ["bad", "good"] and model["vocabulary"][-2] == "caf\u00e9"


BAD: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "something else": (lambda: b"PK\x03\x04 no model at all", ("not a .tflite file", "bash run.sh export")),
    "empty": (lambda: b"", ("not a .tflite file",)),
    "cut off": (lambda: Model().to_bytes()[:300], ("damaged", "Download or export it again")),
    "archive cut off": (lambda: Model().to_bytes()[:-40], ("vocabulary and labels are missing", "cut off")),
    "a byte of the archive lost": (lambda: _without_byte(Model().to_bytes(), -200), ("damaged", "archive")),
    "an operation of TensorFlow": (
        lambda: Model(custom_operation="FlexErf").to_bytes(),
        ("lacks operations", "FlexErf", "built-in"),
    ),
    "no metadata": (lambda: Model(with_metadata=False).to_bytes(), ("no metadata", "vocabulary and labels")),
    "no archive": (lambda: Model(files={}).to_bytes(), ("vocabulary and labels are missing", "another program")),
    "no vocabulary": (lambda: Model(files={"labels.txt": b"bad\ngood\n"}).to_bytes(), ("no vocabulary (vocab.txt)",)),
    "no labels": (lambda: Model(files={"vocab.txt": b"[PAD]\n"}).to_bytes(), ("0 labels", "2 probabilities")),
    "labels of another model": (lambda: Model(classes=3).to_bytes(), ("2 labels", "3 probabilities")),
    "dynamic batch": (
        lambda: Model(shape_signature=(-1, 7)).to_bytes(),
        ("in_ids:0", "dynamic shape [-1, 7]", "--lengths"),
    ),
    "other inputs": (lambda: Model(roles=("image",)).to_bytes(), ("ids, mask and segment_ids", "named image")),
    "inputs of another type": (
        lambda: Model(input_type=schema.TensorType.FLOAT32).to_bytes(),
        ("float32 [1, 7]", "expected int32 [1, length]"),
    ),
    "quantised output": (
        lambda: Model(output_type=schema.TensorType.INT8).to_bytes(),
        ("output is int8", "expected float32"),
    ),
}


def _without_byte(content: bytes, position: int) -> bytes:
    return content[:position] + content[position + 1 :]


def test_bad_files_are_explained(inspect: Inspect) -> None:
    found = inspect(*(make() for make, _ in BAD.values()))
    for index, (name, (_, expected)) in enumerate(BAD.items()):
        error = found[index].get("error")
        assert error is not None, name
        assert found[index]["kind"] == "ModelFileError", f"{name}: {error}"
        assert error.startswith(f"model_{index}.tflite: ") and all(part in error for part in expected), (
            f"{name}: {error}"
        )
