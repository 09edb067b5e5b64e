"""What exported files hold beside the model: sizes, marks, checksums, vocabulary and types of settings."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutated, mutation_settings, value_or_user_error
from power_bert_runtime.appended_files import read_appended_files
from power_bert_runtime.errors import UserError
from power_bert_runtime.stored_files import (
    NO_CHECKSUM,
    REMEDY,
    checksum_of,
    damaged,
    parse_tflite,
    read_file,
    settings_inside,
    tokenizer_inside,
)
from power_bert_runtime.stored_settings import parse_settings

MODEL = b"\0\0\0\0TFL3" + bytes(range(200))
SETTINGS: dict[str, Any] = {"task": "cola", "labels": ["0", "1"], "max_length": 9}
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "café"]
FILES = {"power_bert.json": json.dumps(SETTINGS).encode(), "vocab.txt": "\n".join([*TOKENS, ""]).encode()}
HERE = Path("some.tflite")


def with_files(files: dict[str, bytes], model: bytes = MODEL) -> bytes:
    whole = io.BytesIO(model)
    whole.seek(0, io.SEEK_END)
    with zipfile.ZipFile(whole, "a") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


class TestReadFile:
    def test_content(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").write_bytes(b"abc")
        assert read_file(tmp_path / "m.onnx", ".onnx file") == b"abc"

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r": not a file; expected a \.onnx file$"):
            read_file(tmp_path, ".onnx file")
        with pytest.raises(UserError, match=r"none: cannot be read \(No such file or directory\); expected a \.onnx"):
            read_file(tmp_path / "none", ".onnx file")
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="cannot be read"):
            read_file(tmp_path / "file" / "inside", ".onnx file")

    def test_a_file_over_two_gibibytes_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "large.onnx"
        with path.open("wb") as file:
            file.truncate(2 << 30)  # takes no place on the disk
        with pytest.raises(UserError, match=r"large\.onnx: over 2 GiB, which no \.onnx file is"):
            read_file(path, ".onnx file")


class TestTflite:
    def test_parts(self) -> None:
        content = with_files(FILES)
        file = parse_tflite(content, HERE)
        assert (file.path, file.size_bytes, file.model) == (HERE, len(content), MODEL)
        assert file.files == FILES and file.settings == SETTINGS

    def test_a_file_of_another_program(self) -> None:
        bare = parse_tflite(MODEL, HERE)
        assert (bare.model, bare.files, bare.settings) == (MODEL, {}, {})
        other = parse_tflite(with_files({"labels.txt": b"a\n"}), HERE)
        assert (other.model, other.files, other.settings) == (MODEL, {"labels.txt": b"a\n"}, {})

    @pytest.mark.parametrize("content", [b"", b"TFL3", b"\0\0\0\0TFL2" + MODEL, b"\0" + MODEL])
    def test_the_mark(self, content: bytes) -> None:
        with pytest.raises(UserError, match=r"^some\.tflite: not a \.tflite file \(it lacks the mark TFL3"):
            parse_tflite(content, HERE)

    def test_the_checksum_is_that_of_the_model_alone(self) -> None:
        checksum = hashlib.sha256(MODEL).hexdigest()
        files = {**FILES, "power_bert.json": json.dumps({**SETTINGS, "model_sha256": checksum}).encode()}
        assert parse_tflite(with_files({**files, "more.txt": b"more"}), HERE).model == MODEL
        flipped = MODEL[:-1] + bytes([MODEL[-1] ^ 1])
        with pytest.raises(UserError, match=r"^some\.tflite: damaged, its weights are not those that were written"):
            parse_tflite(with_files(files, flipped), HERE)

    @mutation_settings
    @given(mutated(with_files(FILES)))
    def test_damaged_files_are_read_or_refused(self, content: bytes) -> None:
        file = value_or_user_error(lambda: parse_tflite(content, HERE))
        if file is not None:
            assert content.startswith(file.model) and file.size_bytes == len(content)


@mutation_settings
@given(
    st.dictionaries(st.from_regex(r"\A[a-g]{1,9}(\.txt)?\Z"), st.binary(), min_size=1),
    st.binary(max_size=200),
)
def test_appended_files_are_read_as_they_were_written(files: dict[str, bytes], model: bytes) -> None:
    assert read_appended_files(with_files(files, b"model" + model)) == (files, 5 + len(model))


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("power_bert.json",), "power_bert.json"),
        (("vocab.txt",), "vocab.txt"),
        (("power_bert.json", "vocab.txt"), "power_bert.json and no vocab.txt"),
    ],
)
def test_files_that_every_export_has(missing: tuple[str, ...], named: str) -> None:
    files = {name: content for name, content in FILES.items() if name not in missing}
    with pytest.raises(UserError) as raised:
        settings_inside(files, HERE)
    assert str(raised.value) == f"some.tflite: has no {named} inside, so it is not an export of this project"


class TestTokenizer:
    def test_tokens_and_settings(self) -> None:
        tokenizer = tokenizer_inside(FILES, SETTINGS, HERE)
        assert tokenizer.vocabulary_size == 7
        assert tokenizer.encode(["A CAFÉ a"], None, 9).token_ids[0].tolist() == [2, 5, 1, 5, 3]  # strips accents
        cased = tokenizer_inside(FILES, {**SETTINGS, "lowercase": False}, HERE)
        assert cased.encode(["A café a"], None, 9).token_ids[0].tolist() == [2, 1, 6, 5, 3]

    def test_an_empty_last_line_is_a_token_if_it_is_not_the_end(self) -> None:
        files = {"vocab.txt": "\n".join([*TOKENS, "", ""]).encode()}
        assert tokenizer_inside(files, {}, HERE).vocabulary_size == 8

    @pytest.mark.parametrize(
        ("content", "settings", "message"),
        [
            (b"", {}, "some.tflite, vocab.txt: special tokens are missing: [CLS], [PAD], [SEP], [UNK]"),
            (b"\xff\xfe", {}, "some.tflite, vocab.txt: damaged, or not UTF-8 text (UnicodeDecodeError"),
            (b"a\nb\n", {}, "some.tflite, vocab.txt: special tokens are missing"),
            (FILES["vocab.txt"], {"added_tokens": [{"content": "x"}]}, 'some.tflite: "added_tokens" holds an object'),
        ],
    )
    def test_damage(self, content: bytes, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError) as raised:
            tokenizer_inside({"vocab.txt": content}, settings, HERE)
        assert str(raised.value).startswith(message)


def test_a_file_can_hold_its_own_checksum() -> None:
    written = f'{{"model_sha256": "{NO_CHECKSUM}"}} weights'.encode()
    checksum = checksum_of(written)
    assert checksum == hashlib.sha256(written).hexdigest()
    whole = written.replace(NO_CHECKSUM.encode(), checksum.encode())
    assert checksum_of(whole, checksum) == checksum
    assert checksum_of(whole + b"\0", checksum) != checksum
    assert checksum_of(whole) == hashlib.sha256(whole).hexdigest() != checksum


def test_damage_says_what_to_do() -> None:
    assert str(damaged(HERE, "it is cut")) == f"some.tflite: damaged, it is cut. {REMEDY}"


def parse(**values: Any) -> dict[str, Any]:
    return parse_settings(json.dumps(values).encode(), "f", "Copy it again.")


VALUES: Any = st.recursive(
    st.sampled_from([None, True, False, 0, -7, 2**53, 2**60, 0.5, -1e300, "", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=4,
)


class TestSettings:
    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"of a later version": [{}]},
            {"retention": None},
            {"retention": [1, 0.5]},
            {"labels": []},
            {"max_length": 2**53},
            {"max_length": -(2**53)},
            {"flops": {"12": 10, "24": 1.5}},
            {"limits": {"agreement": 0.9, "difference": None}},
            {"added_tokens": [{"content": "x", "normalized": True, "of a later version": 1}]},
            {"dev": {}},
            {"strip_accents": False},
        ],
    )
    def test_good_ones_are_returned_as_they_are(self, values: dict[str, Any]) -> None:
        assert parse(**values) == values

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"task": None}, "task is null, expected text"),
            ({"pairs": 1}, "pairs is 1, expected true or false"),
            ({"pairs": None}, "pairs is null, expected true or false"),
            ({"max_length": 9.0}, "max_length is 9.0, expected a whole number"),
            ({"max_length": 2**53 + 1}, "max_length is 9007199254740993, expected a whole number"),
            ({"labels": ["a", None]}, 'labels is ["a", null], expected a list (text each)'),
            ({"labels": {"a": 1}}, 'labels is {"a": 1}, expected a list (text each)'),
            ({"lengths": [1, True]}, "lengths is [1, true], expected a list (a whole number each)"),
            ({"fused": {"gelu": 1.5}}, 'fused is {"gelu": 1.5}, expected an object (a whole number each)'),
            (
                {"added_tokens": [{"content": "x"}]},
                'added_tokens is [{"content": "x"}], expected a list (an object (content, normalized) each)',
            ),
            (
                {"limits": {"agreement": "high"}},
                'limits is {"agreement": "high"}, expected an object (a whole number or a number or null each)',
            ),
            ({"retention": [None]}, "retention is [null], expected null or a list (a whole number or a number each)"),
        ],
    )
    def test_wrong_ones_are_named_with_what_is_expected(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError) as raised:
            parse(**values)
        assert str(raised.value) == f"f: damaged, {message}. Copy it again."

    @pytest.mark.parametrize("content", [b"[1, 2]", b"null", b'"text"', b"7"])
    def test_what_is_no_object(self, content: bytes) -> None:
        with pytest.raises(UserError, match=r"^f: damaged, .* is no object with settings\. Copy it again\.$"):
            parse_settings(content, "f", "Copy it again.")

    @mutation_settings
    @given(st.sampled_from(["task", "pairs", "max_length", "labels", "dev", "flops", "retention", "other"]), VALUES)
    def test_any_value_fits_or_is_named(self, name: str, value: Any) -> None:
        found = value_or_user_error(lambda: parse(**{name: value}))
        kinds: dict[str, Callable[[], bool]] = {
            "task": lambda: isinstance(value, str),
            "pairs": lambda: isinstance(value, bool),
            "max_length": lambda: type(value) is int and abs(value) <= 2**53,
            "labels": lambda: isinstance(value, list) and all(isinstance(each, str) for each in value),
            "other": lambda: True,
        }
        if name in kinds:
            assert (found is not None) == kinds[name]()
        if found is not None:
            assert found == {name: value}
