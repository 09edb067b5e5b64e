"""Files that are damaged or made to do harm: the readers give the right value or a UserError, in bounded memory."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutation_settings
from power_bert.errors import UserError
from power_bert.export.flat_tables import TableReader, write_root
from power_bert.export.inspection import inspect_file
from power_bert.export.metadata import TENSOR_AXIS_LABELS, VOCABULARY, AssociatedFile, ModelMetadata, TensorInfo
from power_bert.export.model_file import add_metadata, append_files, pack_model
from power_bert.export.stored_model import StoredModel, parse_stored_model
from power_bert_runtime.appended_files import read_appended_files

ROLES = ("ids", "mask", "segment_ids")
SETTINGS: dict[str, Any] = {
    **{"task": "sst-2", "pairs": False, "labels": ["bad", "good"], "lowercase": True, "max_length": 7},
    **{"quantization": "none", "similarity": "dot", "retention": [0.5, 0.25]},
    "dev": {
        "7": {
            **{"examples": 9, "scores": {"accuracy": 0.5}, "scores_keras": {"accuracy": None}},
            **{"agreement": 1.0, "largest_difference": 0.0},
        }
    },
    "elsewhere": {"7": {"texts": 3, "source": "mine.txt", "agreement": 0.75, "largest_difference": 0.1}},
}
FILES = {
    "vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncaf\xc3\xa9\n",
    "labels.txt": b"bad\ngood\n",
    "power_bert.json": json.dumps(SETTINGS).encode(),
}


def _model() -> schema.ModelT:
    model, subgraph, signature = schema.ModelT(), schema.SubGraphT(), schema.SignatureDefT()
    model.version, model.description, model.buffers = 3, "test", [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = list(range(24))
    subgraph.tensors = [_tensor("out", (1, 2), 0), *(_tensor(role, (1, 7), 2) for role in ROLES)]
    subgraph.inputs, subgraph.outputs = [1, 2, 3], [0]
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SOFTMAX
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [1], [0]
    subgraph.operators, model.operatorCodes, model.subgraphs = [operator], [code], [subgraph]
    signature.signatureKey, signature.subgraphIndex, signature.inputs, signature.outputs = "serving", 0, [], []
    model.signatureDefs = [signature]
    return model


def _tensor(name: str, shape: tuple[int, ...], kind: int) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), kind, 1
    return tensor


def _metadata() -> ModelMetadata:
    labels = AssociatedFile("labels.txt", "the labels", TENSOR_AXIS_LABELS)
    return ModelMetadata(
        **{"name": "Tiny", "description": "for tests", "version": "3", "author": "A. Author", "license": "MIT"},
        inputs=tuple(TensorInfo(role, "") for role in ROLES),
        outputs=(TensorInfo("probability", "", (labels,)),),
        vocabulary=AssociatedFile("vocab.txt", "the vocabulary", VOCABULARY),
        files=(AssociatedFile("power_bert.json", "the settings"),),
    )


BARE = pack_model(_model())


def _described() -> bytes:
    model = _model()
    add_metadata(model, _metadata())
    return pack_model(model)


MODEL = _described()
WHOLE = append_files(MODEL, FILES)


def with_settings(**changes: Any) -> bytes:
    return append_files(MODEL, {**FILES, "power_bert.json": json.dumps({**SETTINGS, **changes}).encode()})


def parse(content: bytes) -> StoredModel:
    return parse_stored_model(content, Path("some.tflite"))


def test_the_whole_file_is_read() -> None:
    stored = parse(WHOLE)
    assert stored.files == FILES and stored.settings == SETTINGS and stored.metadata == _metadata()
    assert WHOLE[: stored.model_bytes] == MODEL
    (subgraph,) = stored.graph.subgraphs
    assert [tensor.name for tensor in subgraph.tensors] == ["out", *ROLES] and subgraph.tensors[1].shape == (1, 7)
    assert (subgraph.inputs, subgraph.outputs) == ((1, 2, 3), (0,))
    assert subgraph.operators == (schema.BuiltinOperator.SOFTMAX,)
    assert stored.graph.signatures == (("serving", 0),) and stored.graph.buffer_bytes[:2] == (0, 24)


# --- The zip at the end ---

# As in the fixture `odd_archives`.
ODD = {
    "a bomb": "unpacks .* bytes to 16,777,216",
    "much in all": "at most 67,108,864",
    "many files": "101 files inside",
    "shorter than it says": r"'vocab\.txt' is incomplete",
    "longer than it says": "CRC",
    "a bomb that says to be small": "CRC",
    "encrypted": r"'vocab\.txt' is encrypted",
    "lzma": "method 14",
    "bzip2": "method 12",
    "out of the folder": r"'\.\./vocab\.txt' is no name of a plain file",
    "a folder": "'texts/' is no name",
    "Windows' folders": "is no name",
    "the folder itself": r"'\.' is no name",
    "a wrong checksum": "CRC",
    "a header that is elsewhere": "damaged",
    "overlapping": r"'vocab\.txt' and 'vocab\.tx2' overlap",
    "a name that stands twice": r"'vocab\.txt' is inside more than once",
    "a file that the metadata name is missing": r"labels\.txt, power_bert\.json",
}


def test_every_odd_archive_is_tried(odd_archives: dict[str, Callable[[bytes], bytes]]) -> None:
    assert odd_archives.keys() - {"zip64"} == ODD.keys()


@pytest.mark.parametrize("name", ODD)
def test_odd_archives_are_refused(odd_archives: dict[str, Callable[[bytes], bytes]], name: str) -> None:
    content = odd_archives[name](MODEL)
    tracemalloc.start()
    with pytest.raises(UserError, match=ODD[name]) as error:
        parse(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
    assert str(error.value).startswith("some.tflite: damaged") and len(str(error.value)) < 600


def test_deflated_files_are_read() -> None:
    archive = io.BytesIO(MODEL)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as written:
        for name, content in FILES.items():
            written.writestr(name, content)
    assert read_appended_files(archive.getvalue()) == (FILES, len(MODEL))
    assert read_appended_files(MODEL) == ({}, len(MODEL))


# --- Settings ---


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"task": 3}, "task is 3, expected text"),
        ({"labels": "good"}, r'labels is "good", expected a list \(text each\)'),
        ({"labels": [1, 2]}, "labels is"),
        ({"pairs": "yes"}, 'pairs is "yes", expected true or false'),
        ({"max_length": True}, "max_length is true, expected a whole number"),
        ({"max_length": 2**60}, "max_length is"),
        ({"dev": []}, "dev is"),
        ({"dev": {"7": {"examples": 9}}}, "dev is"),
        ({"retention": {"a": 1}}, r"retention is .*, expected null or a list \(a whole number or a number each\)"),
        ({"flops": {"7": "many"}}, "flops is"),
        ({"elsewhere": {"7": None}}, "elsewhere is"),
        ({"model_sha256": "0" * 64}, "its weights are not those that were written"),
        ({"task": ["deep"] * 5000}, "task is"),
    ],
)
def test_settings_of_the_wrong_type_are_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as error:
        parse(with_settings(**changes))
    assert str(error.value).startswith("some.tflite") and len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "power_bert.json, line 1: not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "is no object"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_settings_that_are_no_json_are_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        parse(append_files(MODEL, {**FILES, "power_bert.json": content}))


def test_settings_that_are_missing_are_left_open(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(append_files(MODEL, {**FILES, "power_bert.json": b'{"max_length": 9}'}))
    lines = inspect_file(path)
    assert "task         ?" in lines and "max length   9 tokens" in lines and "quantized    ?" in lines


def test_what_a_file_says_is_shown_on_one_line_each(tmp_path: Path) -> None:
    """Control characters of a file do not reach the terminal."""
    path = tmp_path / "model.tflite"
    path.write_bytes(with_settings(task="a\x1b[31m\nb"))
    lines = inspect_file(path)
    assert "task         a\\x1b[31m\\nb" in lines
    assert "elsewhere    length 7, 3 texts of mine.txt: label agreement 75.00 %" in lines


# --- Tables ---


def amplified(count: int) -> bytes:
    """A small file with `count` subgraphs of `count` tensors, all the same one."""
    builder = Builder(1024)
    name = builder.CreateString("the name of a tensor")
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(3, name, 0)
    inner = builder.EndObject()
    vectors = []
    for slot in (0, 2):  # tensors of a subgraph, subgraphs of a model
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(inner)
        vectors.append(builder.EndVector())
        builder.StartObject(5)
        builder.PrependUOffsetTRelativeSlot(slot, vectors[-1], 0)
        builder.PrependUOffsetTRelativeSlot(4, vectors[0], 0)  # buffers of a model
        inner = builder.EndObject()
    builder.Finish(inner, b"TFL3")
    return bytes(builder.Output())


def test_tables_that_refer_to_the_same_data_over_and_over_are_refused() -> None:
    """Else a few megabytes take any memory."""
    assert len(amplified(1000)) < 20_000
    with pytest.raises(UserError, match="again and again, over 32 MiB"):
        parse(amplified(1000))
    reader = TableReader.root(write_root({0: "x" * 1_000_000}, b"TFL3"))
    with pytest.raises(ValueError, match="again and again, over 32 MiB"):
        for _ in range(100):
            reader.text(0)


@pytest.mark.parametrize("content", [b"", b"\xff" * 3, b"\xff" * 64, bytes(64), b"\x08\0\0\0" + b"\x7f" * 60])
def test_tables_that_lead_out_of_the_file_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        TableReader.root(content).tables(1)


def test_something_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder without saved_model"):
        inspect_file(tmp_path)
    with pytest.raises(UserError, match="No such file or directory"):
        inspect_file(tmp_path / "missing.tflite")


# --- Mutations ---

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "delete", "cut"]),
        st.floats(0, 1),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"PK\x05\x06"]),
        ),
    ),
    min_size=1,
    max_size=4,
)


def mutate(content: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, share, data in edits:
        place = round(share * len(content))
        end = place if kind == "insert" else place + len(data)
        content = content[:place] + (b"" if kind in ("delete", "cut") else data) + content[end:]
        content = content[:place] if kind == "cut" else content
    return content


@mutation_settings
@given(EDITS)
def test_a_mutated_file_is_the_same_or_refused(edits: list[tuple[str, float, bytes]]) -> None:
    whole, same = _hashed()
    try:
        stored = parse(mutate(whole, edits))
    except UserError as error:
        assert str(error).startswith("some.tflite") and len(str(error)) < 1000
    else:
        assert (stored.files, stored.settings, stored.graph, stored.metadata) == (
            *(same.files, same.settings, same.graph, same.metadata),
        )


def _hashed() -> tuple[bytes, StoredModel]:
    import hashlib

    whole = with_settings(model_sha256=hashlib.sha256(MODEL).hexdigest())
    return whole, parse(whole)


@mutation_settings
@given(st.sampled_from([BARE, MODEL]), EDITS)
def test_a_mutated_model_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, model: bytes, edits: list[tuple[str, float, bytes]]
) -> None:
    """Without settings there is nothing to compare with: whatever is read can be shown."""
    path = tmp_path_factory.getbasetemp() / "mutated.tflite"
    path.write_bytes(model[:8] + mutate(model[8:], edits))
    try:
        lines = inspect_file(path)
    except UserError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 1000
    else:
        assert lines[0].startswith(str(path))


@mutation_settings
@given(EDITS)
def test_mutated_settings_can_be_shown_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, float, bytes]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "settings.tflite"
    path.write_bytes(append_files(MODEL, {**FILES, "power_bert.json": mutate(FILES["power_bert.json"], edits)}))
    try:
        lines = inspect_file(path)
    except UserError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 1000
    else:
        assert any(line.startswith("max length") for line in lines)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=3,
)


@mutation_settings
@given(st.sampled_from(sorted(SETTINGS)), JSON)
def test_settings_with_any_value_can_be_shown_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.tflite"
    path.write_bytes(with_settings(**{key: value}))
    try:
        inspect_file(path)
    except UserError as error:
        assert str(error).startswith(str(path)) and f"{key} is " in str(error)
