"""Tests of power_bert.config.pretraining: TOML, options, bad values."""

import json
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.pretraining import PretrainingSettings, read_toml, resolve_settings
from power_bert.errors import UserError
from power_bert.folders import PACKAGE


def test_defaults_and_absolute_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = resolve_settings({"corpus": "corpus", "layers": None, "hidden": 64})
    assert settings == PretrainingSettings(str(tmp_path / "corpus"), hidden=64)
    assert (settings.intermediate_dim, settings.num_heads) == (256, 1)
    assert PretrainingSettings(**json.loads(settings.to_json())) == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layres": 2}, "unknown settings layres; known are corpus, layers"),
        ({"hidden": 100, "heads": 3}, r"hidden=100 is not a multiple of heads=3; heads that divide it: 1, 2, 4, 5"),
        ({"batch": 10, "accumulate": 4}, "batch=10 cannot be divided into accumulate=4 parts on devices=1"),
        ({"batch": 12, "accumulate": 2, "devices": 4}, "expected a multiple of 8"),
        ({"steps": 0}, "steps=0 is out of range"),
        ({"steps": 1.5}, "steps=1.5: expected a whole number"),
        ({"steps": True}, "steps=True: expected a whole number"),
        ({"whole_words": 1}, "whole_words=1: expected true or false"),
        ({"learning_rate": float("nan")}, "learning_rate=nan is out of range"),
        ({"masking_rate": 0.9}, r"masking_rate=0\.9 is out of range: .*usual: 0\.15 to 0\.3"),
        ({"similarity": "manhattan"}, "expected one of dot, cosine, euclidean, gaussian"),
        ({"schedule": "cosine"}, "expected one of linear, one-cycle"),
        ({"precision": "float16"}, "expected one of float32, bfloat16"),
        ({"dropout": -0.1}, "dropout"),
    ],
)
def test_bad_values(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_settings({"corpus": "corpus", **given})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (2, 512, 128**-0.5)),
        ({"hidden": 32}, (1, 128, 32**-0.5)),
        ({"hidden": 768, "heads": 6, "intermediate": 100, "initializer_range": 0.02}, (6, 100, 0.02)),
    ],
)
def test_what_is_0_follows_from_the_hidden_dimension(given: dict[str, Any], expected: tuple[int, int, float]) -> None:
    settings = resolve_settings({"corpus": "corpus", **given})
    assert (settings.num_heads, settings.intermediate_dim, settings.weight_deviation) == expected


def test_a_batch_is_divided_by_parts_and_devices() -> None:
    settings = resolve_settings({"corpus": "corpus", "batch": 24, "accumulate": 3, "devices": 4})
    assert (settings.batch, settings.accumulate, settings.devices) == (24, 3, 4)


def test_the_message_begins_with_the_file() -> None:
    for given, message in (
        ({"steps": 0}, "steps=0 is out of range"),
        ({"hidden": 96, "heads": 5}, "hidden=96 is not a multiple of heads=5"),
        ({"layres": 2}, "unknown settings layres"),
        ({"corpus": 5}, "corpus=5: expected a text"),
    ):
        with pytest.raises(UserError, match=rf"^tiny\.toml: {message}"):
            resolve_settings({"corpus": "corpus", **given}, where="tiny.toml")


def test_a_stored_file_of_an_earlier_version_takes_the_defaults_of_new_settings() -> None:
    settings = resolve_settings({"corpus": "/corpus", "whole_words": True})
    stored = json.loads(settings.to_json())
    del stored["devices"], stored["position_start"]
    assert PretrainingSettings.from_json(json.dumps(stored), "config.json") == settings


def test_no_corpus() -> None:
    with pytest.raises(UserError, match=r"tiny\.toml: no corpus given.*prepare-corpus"):
        resolve_settings({"layers": 2}, where="tiny.toml")


class TestToml:
    def test_from_the_working_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mine.toml").write_text('similarity = "cosine"\nlearning_rate = 1e-3\nwhole_words = true\n')
        monkeypatch.chdir(tmp_path)
        expected = {"similarity": "cosine", "learning_rate": 1e-3, "whole_words": True}
        assert read_toml("mine.toml") == read_toml(tmp_path / "mine.toml") == expected

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"layers = ", r": damaged, or not valid TOML \(TOMLDecodeError: Invalid value"),
            (b"a = 1\nb = '\xff'", ", line 2: byte 0xff is not UTF-8"),
            ("layers = 1\n".encode("utf-16"), ": begins with the byte order mark of UTF-16"),
            (b"a = " + b"[" * 5000, ": damaged, or not valid TOML .RecursionError"),
            (b"a = 0x" + b"f" * 5000, ": damaged, or not valid TOML .ValueError"),
        ],
    )
    def test_damaged(self, content: bytes, message: str, tmp_path: Path) -> None:
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.toml" + message):
            read_toml(tmp_path / "bad.toml")

    def test_absent(self) -> None:
        with pytest.raises(UserError, match=r"absent\.toml: no such file.*bert_tiny\.toml"):
            read_toml("absent.toml")

    def test_the_shipped_ones_are_valid(self) -> None:
        shipped = {path.name: read_toml(path) for path in (PACKAGE / "recipes").glob("*.toml")}
        pretrainings = {name: values for name, values in shipped.items() if "grid" not in values}
        assert {"bert_tiny.toml", "bert_mini.toml"} <= pretrainings.keys()
        for name, values in pretrainings.items():
            assert resolve_settings({"corpus": "corpus", **values}, name).steps > 0
