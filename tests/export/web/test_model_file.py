"""Tests of the page's reader of model files, on files that hold no operations: only what the reader looks at."""

import dataclasses
import hashlib
import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from power_bert.export.metadata import TENSOR_AXIS_LABELS, VOCABULARY, AssociatedFile, ModelMetadata, TensorInfo
from power_bert.export.model_file import add_metadata, append_files, pack_model
from power_bert_runtime.tokenizer_settings import TokenizerSettings

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
def inspect(run_module: Callable[..., str], tmp_path: Path) -> Inspect:
    """What the page reads out of files with these contents."""

    def read(*contents: bytes) -> list[dict[str, Any]]:
        paths = [tmp_path / f"model_{index}.tflite" for index in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return json.loads(run_module("read_model.mjs", *paths))

    return read


def test_a_whole_file(inspect: Inspect) -> None:
    content = Model().to_bytes()
    (model,) = inspect(content)
    assert model == {
        **{"fileName": "model_0.tflite", "size": len(content), "name": "Tiny", "description": "for tests"},
        **{"version": "3", "author": "A. Author", "license": "MIT", "task": "sst-2", "maxLength": 6},
        **{"quantization": "", "retention": [], "fusesDropped": False, "devScore": ""},
        "vocabulary": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "caf\u00e9", "\u2028"],
        **{"labels": ["bad", "good"], "tokenizer": TokenizerSettings(lowercase=False).to_json(), "takesPairs": False},
        "signatures": [
            {
                **{"key": "length_7", "length": 7, "inputNames": {role: f"x_{role}" for role in ROLES}},
                **{"outputName": "probabilities", "numOutputs": 2, "survivorsName": None},
            }
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
    "quantized output": (
        lambda: Model(output_type=schema.TensorType.INT8).to_bytes(),
        ("output is int8", "expected float32"),
    ),
}


def with_settings(**changes: Any) -> bytes:
    settings = {**json.loads(FILES["power_bert.json"]), **changes}
    return Model(files={**FILES, "power_bert.json": json.dumps(settings).encode()}).to_bytes()


# In the words of the page; the archives are those of the fixture `odd_archives`.
ODD = {
    "a bomb": "unpacks",
    "much in all": "unpack to 68157449 bytes",
    "many files": "has 101 files",
    "shorter than it says": "incomplete",
    "longer than it says": "incomplete",
    "a bomb that says to be small": "incomplete",
    "encrypted": '"vocab.txt" in the archive is encrypted',
    "lzma": "unknown compression (14)",
    "bzip2": "unknown compression (12)",
    "out of the folder": '"../vocab.txt" in the archive at its end is no name',
    "a folder": '"texts/" in the archive at its end is no name',
    "Windows' folders": "is no name",
    "the folder itself": "is no name",
    "a wrong checksum": "(CRC)",
    "a header that is elsewhere": "damaged",
    "overlapping": '"vocab.txt" and "vocab.tx2" overlap',
    "a name that stands twice": "more than once",
    "a file that the metadata name is missing": "0 labels",
    "zip64": "zip64",
}
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"task": 3}, "task in power_bert.json is 3, not text"),
    "flag": ({"pairs": "yes"}, 'pairs in power_bert.json is "yes", not true or false'),
    "null": ({"lowercase": None}, "lowercase in power_bert.json is null"),
    "number": ({"max_length": 0.5}, "max_length in power_bert.json is 0.5, not a positive whole number"),
    "fuse": ({"fuse_dropped": 1}, "fuse_dropped in power_bert.json is 1, not true or false"),
    "long": ({"task": ["x" * 50] * 99}, "task in power_bert.json is ["),
    "sha256": ({"model_sha256": "0" * 64}, "its weights are not those that were written"),
}


def test_odd_archives_are_explained(inspect: Inspect, odd_archives: dict[str, Callable[[bytes], bytes]]) -> None:
    model = Model(files={}).to_bytes()
    check_errors(inspect(*(odd_archives[name](model) for name in ODD)), list(ODD.items()))
    assert odd_archives.keys() == ODD.keys()


def test_a_model_says_whether_it_fuses_tokens(inspect: Inspect) -> None:
    assert inspect(with_settings(fuse_dropped=True))[0]["fusesDropped"]


def test_settings_of_the_wrong_type_are_explained(inspect: Inspect) -> None:
    found = inspect(*(with_settings(**changes) for changes, _ in SETTINGS.values()))
    check_errors(found, [(name, expected) for name, (_, expected) in SETTINGS.items()])


def test_files_that_are_no_text_are_explained(inspect: Inspect) -> None:
    contents = [Model(files={**FILES, name: b"\xff\xfe"}).to_bytes() for name in FILES]
    check_errors(inspect(*contents), [(name, f"{name} is not UTF-8") for name in FILES])
    contents = [Model(files={**FILES, "power_bert.json": content}).to_bytes() for content in (b"[]", b"[" * 100_000)]
    check_errors(inspect(*contents), [("a list", "holds no settings"), ("deep", "damaged")])


def test_a_model_of_the_right_hash_is_read(inspect: Inspect) -> None:
    digest = hashlib.sha256(Model(files={}).to_bytes()).hexdigest()
    (model,) = inspect(with_settings(model_sha256=digest))
    assert model["labels"] == ["bad", "good"]


def test_tables_that_refer_to_the_same_data_over_and_over(inspect: Inspect) -> None:
    """A vector of operators' codes that are all the same one: without a limit, a small file takes any memory."""
    builder = Builder(1024)
    builder.StartObject(4)
    inner = builder.EndObject()
    builder.StartVector(4, 300_000, 4)
    for _ in range(300_000):
        builder.PrependUOffsetTRelative(inner)
    vector = builder.EndVector()
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    check_errors(inspect(bytes(builder.Output())), [("a vector", "refer to the same data again and again")])


def check_errors(found: list[dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    for index, (name, part) in enumerate(expected):
        error = found[index].get("error")
        assert error is not None, name
        assert found[index]["kind"] == "ModelFileError" and part in error, f"{name}: {error}"
        assert error.startswith(f"model_{index}.tflite: ") and len(error) < 650, f"{name}: {error}"


@pytest.mark.parametrize("part", ["all", "model", "archive"])
def test_mutated_files_are_the_same_or_refused(inspect: Inspect, part: str) -> None:
    """Edits of a file whose hash is inside: what is read is what was written, or an error says what is wrong."""
    model = Model(files={}).to_bytes()
    whole = with_settings(model_sha256=hashlib.sha256(model).hexdigest())
    begin, end = {"all": (0, len(whole)), "model": (8, len(model)), "archive": (len(model), len(whole))}[part]
    generator = random.Random(part)
    count = int(os.environ.get("POWER_BERT_MUTATIONS", "100"))
    mutated = [whole[:begin] + mutate(whole[begin:end], generator) + whole[end:] for _ in range(count)]
    (same,), found = inspect(whole), inspect(*mutated)
    for index, (content, model_read) in enumerate(zip(mutated, found, strict=True)):
        if "error" in model_read:
            assert model_read["kind"] == "ModelFileError" and len(model_read["error"]) < 650, model_read
        else:
            assert model_read == {**same, "fileName": f"model_{index}.tflite", "size": len(content)}


@pytest.mark.parametrize("with_signatures", [True, False])
def test_mutated_models_without_a_hash_are_read_or_refused(inspect: Inspect, with_signatures: bool) -> None:
    model = Model(files={}, with_signatures=with_signatures).to_bytes()
    generator = random.Random(with_signatures)
    count = int(os.environ.get("POWER_BERT_MUTATIONS", "100"))
    mutated = [append_files(model[:8] + mutate(model[8:], generator), FILES) for _ in range(count)]
    for model_read in inspect(*mutated):
        if "error" in model_read:
            assert model_read["kind"] == "ModelFileError" and len(model_read["error"]) < 650, model_read
        else:
            lengths = [signature["length"] for signature in model_read["signatures"]]
            assert lengths and all(0 < length <= 65536 for length in lengths)
            assert {signature["numOutputs"] for signature in model_read["signatures"]} == {2}


EXTREMES = [b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"PK\x05\x06"]


def mutate(content: bytes, generator: random.Random) -> bytes:
    """One to four edits: other bytes, more bytes, fewer bytes, or the end cut off."""
    for _ in range(generator.randint(1, 4)):
        place = generator.randint(0, len(content))
        data = generator.choice([generator.randbytes(generator.randint(1, 8)), *EXTREMES])
        kind = generator.choices(["replace", "insert", "delete", "cut"], [6, 1, 1, 0.2])[0]
        rest = content[place if kind == "insert" else place + len(data) :]
        content = content[:place] + (b"" if kind in ("delete", "cut") else data) + (b"" if kind == "cut" else rest)
    return content


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
