"""Small parts of the package: names on demand, errors as text, cores, names of files, held back errors of libraries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import power_bert_runtime
from mutations import mutation_settings
from power_bert_runtime.contents import is_exported, signature_key
from power_bert_runtime.cores import available_cores
from power_bert_runtime.errors import UserError, shorten
from power_bert_runtime.native_stderr import native_stderr_held_back
from power_bert_runtime.parsing import parse_json, shown


def test_public_names_are_imported_on_demand(project_root: Path) -> None:
    assert power_bert_runtime.__all__ == ["Classifier", "Prediction", "UserError"]
    assert power_bert_runtime.UserError is UserError
    with pytest.raises(AttributeError, match="module 'power_bert_runtime' has no attribute 'Klassifier'"):
        power_bert_runtime.Klassifier  # noqa: B018
    script = "import sys, power_bert_runtime as r; r.UserError; print({'numpy', 'tokenizers'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(project_root / "code")}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize("given_before", [None, "0"])
def test_telemetry_is_turned_off_unless_the_user_says_otherwise(project_root: Path, given_before: str | None) -> None:
    environment = {**os.environ, "PYTHONPATH": str(project_root / "code")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    if given_before is not None:
        environment["ORT_DISABLE_TELEMETRY"] = given_before
    script = "import os, power_bert_runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == (given_before or "1")


@mutation_settings
@given(st.text(max_size=30), st.integers(1, 40))
def test_quoted_text_is_short_printable_and_marked_where_it_is_cut(text: str, length: int) -> None:
    found = shorten(text, length)
    assert len(found) <= length and found.isprintable()
    if text.isprintable():
        assert found == (text if len(text) <= length else text[: length - 1] + "…")
    found.encode()


def test_quoted_surrogates_are_escaped() -> None:
    assert shorten("a\ud83db") == "a\\ud83db"
    assert shorten(None) == "None" and shorten(3.5) == "3.5"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "an object"),
        ([1], "a list"),
        ("é\n", '"é\\n"'),
        (None, "null"),
        (True, "true"),
        (1.0, "1.0"),
        ("x" * 300, '"' + "x" * 198 + "…"),
    ],
)
def test_json_in_messages(value: object, text: str) -> None:
    assert shown(value) == text


@mutation_settings
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text('aé\U0001f600"\\\n', max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
        max_leaves=5,
    ),
    st.booleans(),
)
def test_json_is_read_as_it_was_written(value: object, is_ascii: bool) -> None:
    import json

    text = json.dumps(value, ensure_ascii=is_ascii)
    for data in (text, text.encode(), "\ufeff" + text, b"\xef\xbb\xbf" + text.encode()):
        assert parse_json(data, "here") == value


def test_cores_are_those_of_this_process() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs sched_setaffinity")
    before = os.sched_getaffinity(0)
    assert available_cores() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_names_inside_and_of_exported_files() -> None:
    assert (signature_key(32, 128), signature_key(128, 128)) == ("length_32", "serving_default")
    assert all(map(is_exported, ("a.onnx", "dir/a.b.tflite", Path("a.xml"))))
    assert not any(map(is_exported, ("a.ONNX", "onnx", ".onnx", "a.bin", "", "a.onnx.gz", "a.onnx/b")))


def test_what_a_library_writes_is_shown_if_it_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with native_stderr_held_back():
        os.write(2, b"of no interest\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(KeyError), native_stderr_held_back():
        os.write(2, b"the reason\n")
        raise KeyError
    assert capfd.readouterr().err == "the reason\n"
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_blocks_inside_each_other_show_what_the_outer_one_holds(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), native_stderr_held_back():
        os.write(2, b"outer\n")
        with native_stderr_held_back():
            os.write(2, b"inner\n")
        raise KeyboardInterrupt
    assert capfd.readouterr().err == "outer\n"


def test_no_file_descriptor_is_left_open() -> None:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("needs /proc")
    before = len(list(folder.iterdir()))
    for _ in range(5):
        with native_stderr_held_back():
            pass
    assert len(list(folder.iterdir())) == before
