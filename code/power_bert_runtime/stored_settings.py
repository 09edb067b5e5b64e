"""Parser of power_bert.json, the settings inside an exported file, which checks the type of every value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from power_bert_runtime.errors import UserError, shorten
from power_bert_runtime.parsing import parse_json

# JavaScript does not represent larger integers exactly.
_LARGEST_NUMBER = 2**53
_NUMBER = (int, float)
_SCORES = {str: (*_NUMBER, None)}
_AGREEMENT = {"agreement": (*_NUMBER, None), "largest_difference": (*_NUMBER, None)}
# Key → form of its value: a type, None, alternatives (tuple), a list ([type]), an object with any keys ({str: type}),
# or an object with at least the given keys. Older versions, and models of other kinds, do not write all keys.
_TYPES: dict[str, Any] = {
    "task": str,
    "pairs": bool,
    "labels": [str],
    "lowercase": bool,
    "strip_accents": bool,
    "tokenize_chinese_chars": bool,
    **dict.fromkeys(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), str),
    "added_tokens": [{"content": str, "normalized": bool}],
    "max_length": int,
    "quantization": str,
    "dev": {str: {"examples": int, "scores": _SCORES, "scores_keras": _SCORES, **_AGREEMENT}},
    "regression": bool,
    "lengths": [int],
    "architecture": str,
    "similarity": str,
    "retention": (None, [_NUMBER]),
    "fuse_dropped": bool,
    "flops": {str: _NUMBER},
    "elsewhere": {str: {"texts": int, "source": str, **_AGREEMENT}},
    "limits": {str: (*_NUMBER, None)},
    **dict.fromkeys(("format_name", "weights_sha256", "model_sha256"), str),
    "fused": {str: int},
    "protects_choice": bool,
}


def parse_settings(content: bytes, source: str | Path, advice: str) -> dict[str, Any]:
    """Parse power_bert.json.

    Args:
        content: Content of the file.
        source: Where it comes from, for messages.
        advice: Sentence on what to do if it is damaged.

    Raises:
        UserError: The content is not JSON, or a value has another type than expected; the message names the setting.
    """
    settings = parse_json(content, source, advice=advice)
    if not isinstance(settings, dict):
        raise UserError(f"{source}: damaged, {shorten(json.dumps(settings))} is no object with settings. {advice}")
    for key, expected in _TYPES.items():
        if key in settings and not _fits(settings[key], expected):
            value = shorten(json.dumps(settings[key], ensure_ascii=False))
            raise UserError(f"{source}: damaged, {key} is {value}, expected {_in_words(expected)}. {advice}")
    return settings


def _fits(value: Any, expected: Any) -> bool:
    if isinstance(expected, tuple):
        return any(_fits(value, one) for one in expected)
    if isinstance(expected, list):
        return isinstance(value, list) and all(_fits(entry, expected[0]) for entry in value)
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            return False
        if str in expected:
            return all(_fits(entry, expected[str]) for entry in value.values())
        return all(key in value and _fits(value[key], of_key) for key, of_key in expected.items())
    if expected is None:
        return value is None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_NUMBER:
        return False
    # In Python, bool is a subclass of int.
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))


def _in_words(expected: Any) -> str:
    if isinstance(expected, tuple):
        return " or ".join(dict.fromkeys(map(_in_words, expected)))
    if isinstance(expected, list):
        return f"a list ({_in_words(expected[0])} each)"
    if isinstance(expected, dict):
        inside = _in_words(expected[str]) + " each" if str in expected else ", ".join(expected)
        return f"an object ({inside})"
    return {str: "text", bool: "true or false", int: "a whole number", float: "a number", None: "null"}[expected]
