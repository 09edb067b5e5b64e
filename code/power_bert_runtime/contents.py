"""Names inside exported files, which all formats share."""

import os
from pathlib import Path

# Clients find the inputs by these names; a file lists its inputs in this order.
INPUT_NAMES = ("ids", "mask", "segment_ids")
OUTPUT_NAME = "probabilities"
# A second output of .tflite files that were exported with --surviving-tokens.
SURVIVING_TOKENS = "surviving_tokens"
# Key of the signature of the longest length in a .tflite file; the others are named by `signature_key`.
PRIMARY_SIGNATURE = "serving_default"

# Settings that clients of this project need and the standard metadata of a format has no place for.
SETTINGS_FILE = "power_bert.json"
VOCABULARY_FILE = "vocab.txt"
LABELS_FILE = "labels.txt"

# File name extension → format.
TFLITE, ONNX, OPENVINO = "tflite", "onnx", "openvino"
FORMATS = {".tflite": TFLITE, ".onnx": ONNX, ".xml": OPENVINO}


def signature_key(length: int, longest: int) -> str:
    """Return the key of the signature of one of several lengths in a .tflite file."""
    return PRIMARY_SIGNATURE if length == longest else f"length_{length}"


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a file that a `Classifier` opens, by its extension."""
    return Path(path).suffix in FORMATS
