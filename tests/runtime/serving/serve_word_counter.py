"""Serves a model that counts words and takes its time; run as a program, as tests of a server's process need it."""

import sys
import time

import numpy as np

from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.serving.server_process import serve
from power_bert_runtime.serving.server_settings import ServerSettings


class SlowCounter:
    """Two labels; each batch takes the given seconds."""

    runtime, labels, is_regression, takes_pairs = "counting", ("short", "long"), False, False
    max_length, size_bytes, metadata = 10, 1000, {}

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def encode(self, texts: list[str], truncate: bool = True) -> EncodedTexts:
        lengths = [min(len(text.split()), self.max_length) for text in texts]
        return EncodedTexts.from_rows([[1] * length for length in lengths], lengths)

    def run(self, encoded: EncodedTexts) -> np.ndarray:
        time.sleep(self._seconds)
        share = (encoded.lengths / self.max_length)[:, None].astype(np.float32)
        return np.concatenate([1 - share, share], axis=1)

    def close(self) -> None:
        print("closed", file=sys.stderr)


if __name__ == "__main__":
    serve(lambda: {"counter": SlowCounter(float(sys.argv[1]))}, ServerSettings(port=0), None)
