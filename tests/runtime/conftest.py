"""Exported files made by hand, whose outputs say what the model was given; no training, no TensorFlow.

The outputs of an example are sums over its row as it was padded: of the token ids, of the segment ids, of the mask, and
of ones, which is the padded length.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# The padding token is not 0, so that no id is right by chance.
VOCABULARY = ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##s")
OUTPUTS = ("ids", "segments", "tokens", "width")


def files_inside(labels: Sequence[str] = OUTPUTS, **changes: Any) -> dict[str, str]:
    """Name → content; a change to None takes a setting away."""
    settings = {"task": "sums", "labels": list(labels), "pairs": False, "lowercase": True, "max_length": 12} | changes
    settings = {name: value for name, value in settings.items() if value is not None}
    return {"power_bert.json": json.dumps(settings), "vocab.txt": "\n".join(VOCABULARY) + "\n"}


def onnx_model(outputs: Sequence[str]) -> Any:
    onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Equal", ["mask", "mask"], ["always"])]
    for source, name in (("ids", "ids"), ("segment_ids", "segments"), ("mask", "tokens"), ("always", "width")):
        if name in outputs:
            nodes.append(helper.make_node("Cast", [source], [f"{name}_float"], to=kinds.FLOAT))
            nodes.append(helper.make_node("ReduceSum", [f"{name}_float", "axis"], [f"{name}_sum"], keepdims=1))
    nodes.append(helper.make_node("Concat", [f"{name}_sum" for name in outputs], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(name, kinds.INT32, ["b", "l"]) for name in ("ids", "mask", "segment_ids")],
        [helper.make_tensor_value_info("probabilities", kinds.FLOAT, ["b", len(outputs)])],
        [helper.make_tensor("axis", kinds.INT64, [1], [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="session")
def write_onnx() -> Callable[..., Path]:
    """Writes an .onnx file with the given labels and settings, and returns its path."""

    def write(path: Path, outputs: Sequence[str] = OUTPUTS, **settings: Any) -> Path:
        model = onnx_model(outputs)
        for name, text in files_inside(**settings).items():
            model.metadata_props.add(key=name, value=text)
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture(scope="session")
def write_openvino() -> Callable[..., Path]:
    """Writes an .xml file with its .bin, with the given settings, and returns its path."""
    openvino = pytest.importorskip("openvino", reason="needs the extra 'openvino'")

    def write(path: Path, **settings: Any) -> Path:
        model = openvino.Core().read_model(onnx_model(OUTPUTS).SerializeToString(), b"")
        model.set_rt_info(json.dumps(files_inside(**settings)), "power_bert_files")
        openvino.save_model(model, path, compress_to_fp16=False)
        return path

    return write


@pytest.fixture(scope="session")
def tflite_model() -> Callable[[Sequence[int]], bytes]:
    """Makes a .tflite model with a signature for each length, without files inside."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    operators = schema.BuiltinOperator
    codes = (operators.CAST, operators.SUM, operators.CONCATENATION)

    def table(kind: Any, **values: Any) -> Any:
        made = kind()
        for name, value in values.items():
            setattr(made, name, value)
        return made

    def subgraph(length: int) -> Any:
        # name, shape, type (0: float32, 2: int32), buffer
        tensors: list[tuple[str, tuple[int, ...], int, int]] = [
            *((name, (1, length), 2, 0) for name in ("ids", "segment_ids", "mask")),
            *((f"{name}_float", (1, length), 0, 0) for name in ("ids", "segment_ids", "mask")),
            ("ones", (1, length), 0, 2),
            ("axis", (1,), 2, 1),
            *((f"{name}_sum", (1, 1), 0, 0) for name in OUTPUTS),
            ("sums", (1, 4), 0, 0),
        ]
        cast = table(schema.CastOptionsT, inDataType=2, outDataType=0)
        keep, join = table(schema.ReducerOptionsT, keepDims=True), table(schema.ConcatenationOptionsT, axis=1)
        options = schema.BuiltinOptions
        steps = [
            *(([row], 3 + row, 0, cast, options.CastOptions) for row in range(3)),
            *(([3 + row, 7], 8 + row, 1, keep, options.ReducerOptions) for row in range(4)),
            ([8, 9, 10, 11], 12, 2, join, options.ConcatenationOptions),
        ]
        return table(
            schema.SubGraphT,
            tensors=[
                table(schema.TensorT, name=name, shape=list(shape), type=kind, buffer=buffer)
                for name, shape, kind, buffer in tensors
            ],
            inputs=[0, 1, 2],
            outputs=[12],
            operators=[
                table(
                    schema.OperatorT,
                    **{"opcodeIndex": code, "inputs": inputs, "outputs": [output]},
                    **{"builtinOptions": option, "builtinOptionsType": kind},
                )
                for inputs, output, code, option, kind in steps
            ],
        )

    def make(lengths: Sequence[int]) -> bytes:
        buffers = [np.array([], np.uint8), np.array([1], np.int32), np.ones(max(lengths), np.float32)]
        signatures = []
        for number, length in enumerate(lengths):
            names = [
                table(schema.TensorMapT, name=name, tensorIndex=index)
                for index, name in enumerate(("ids", "segment_ids", "mask"))
            ]
            key = "serving_default" if length == max(lengths) else f"length_{length}"
            sums = [table(schema.TensorMapT, name="probabilities", tensorIndex=12)]
            signatures.append(
                table(schema.SignatureDefT, signatureKey=key, subgraphIndex=number, inputs=names, outputs=sums)
            )
        model = table(
            schema.ModelT,
            version=3,
            buffers=[table(schema.BufferT, data=np.frombuffer(each.tobytes(), np.uint8)) for each in buffers],
            operatorCodes=[
                table(schema.OperatorCodeT, builtinCode=code, deprecatedBuiltinCode=code, version=1) for code in codes
            ],
            subgraphs=[subgraph(length) for length in lengths],
            signatureDefs=signatures,
        )
        builder = Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    return make


@pytest.fixture(scope="session")
def write_tflite(tflite_model: Callable[[Sequence[int]], bytes]) -> Callable[..., Path]:
    """Writes a .tflite file whose signatures have the given lengths, with the given settings, and returns its path."""
    import zipfile

    def write(path: Path, signatures: Sequence[int] = (12,), **settings: Any) -> Path:
        path.write_bytes(tflite_model(signatures))
        inside = files_inside(**({"max_length": max(signatures), "lengths": list(signatures)} | settings))
        with zipfile.ZipFile(path, "a") as archive:
            for name, text in inside.items():
                archive.writestr(name, text)
        return path

    return write
