"""Uses a server (argument 1) with NVIDIA's client of the Open Inference Protocol, which has an environment of its own.

Prints what the client understood: readiness, metadata, and for tensors in binary form and in JSON, with and without
chosen outputs, probabilities, labels and id; and the error of a wrong input.
"""

import json
import sys
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

MODEL, TEXTS = sys.argv[2], sys.argv[3:]


def understood(result: Any) -> dict[str, Any]:
    labels = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label")]
    identity = result.get_response()["id"]
    return {"probabilities": result.as_numpy("probabilities").tolist(), "labels": labels, "id": identity}


def error_of(client: Any) -> str:
    tensor = InferInput("ids", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"a"], object))
    try:
        client.infer(MODEL, [tensor])
    except InferenceServerException as error:
        return f"{error.status()} {error.message()}"
    return "none"


client = InferenceServerClient(sys.argv[1].removeprefix("http://"))
results = []
for is_binary in (True, False):
    tensor = InferInput("text", [len(TEXTS)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in TEXTS], object), binary_data=is_binary)
    for outputs in (None, [InferRequestedOutput(name, is_binary) for name in ("probabilities", "label")]):
        results.append(understood(client.infer(MODEL, [tensor], outputs=outputs, request_id="7")))
ready = [client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL)]
metadata = client.get_model_metadata(MODEL)
print(json.dumps({"ready": ready, "metadata": metadata, "results": results, "error": error_of(client)}))
