"""The three runtimes with models whose outputs say what they were given: order, padding, lengths, damage."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert_runtime import Classifier, UserError
from power_bert_runtime.encoded_texts import EncodedTexts

Write = Callable[..., Path]
PAD_ID = 1
LENGTHS = [3, 9, 5, 12, 3, 4, 10]


def examples(lengths: list[int] = LENGTHS) -> EncodedTexts:
    """Example i has the ids 100 i, 100 i + 1, …, and its last third is segment 1."""
    rows = [range(100 * row, 100 * row + length) for row, length in enumerate(lengths)]
    return EncodedTexts.from_rows([list(row) for row in rows], [2 * length // 3 for length in lengths], PAD_ID)


def check(outputs: np.ndarray, encoded: EncodedTexts, widths: list[int]) -> None:
    """Each output row is that of its example, padded to the given width."""
    assert outputs.dtype == np.float32 and outputs.shape == (len(encoded), 4)
    assert outputs[:, 3].tolist() == widths
    for row, (ids, segments) in enumerate(zip(encoded.token_ids, encoded.segment_ids, strict=True)):
        padding = PAD_ID * (widths[row] - len(ids))
        assert outputs[row].tolist() == [ids.sum() + padding, segments.sum(), len(ids), widths[row]]


@pytest.mark.parametrize(
    ("batch_size", "widths"),
    [
        (1, LENGTHS),
        (2, [3, 10, 5, 12, 3, 5, 10]),  # sorted: 3 3 | 4 5 | 9 10 | 12
        (3, [4, 10, 10, 12, 4, 4, 10]),  # sorted: 3 3 4 | 5 9 10 | 12
        (100, [12] * 7),
    ],
)
def test_onnx_pads_a_batch_to_its_longest_example(
    write_onnx: Write, tmp_path: Path, batch_size: int, widths: list[int]
) -> None:
    with Classifier(write_onnx(tmp_path / "m.onnx"), threads=1, batch_size=batch_size) as classifier:
        check(classifier.run(examples()), examples(), widths)
        check(classifier.run(examples(), pad_to=17), examples(), [17] * 7)


def test_openvino_pads_to_few_lengths_and_never_over_the_maximum(write_openvino: Write, tmp_path: Path) -> None:
    path = write_openvino(tmp_path / "m.xml", max_length=10)
    with Classifier(path, threads=1, batch_size=2) as classifier:
        assert classifier.runtime == "openvino"
        assert classifier.size_bytes == sum((tmp_path / name).stat().st_size for name in ("m.xml", "m.bin"))
        shorter = examples([3, 9, 5, 10, 3, 4, 10])
        check(classifier.run(shorter), shorter, [4, 10, 8, 10, 4, 8, 10])
        check(classifier.run(shorter, pad_to=11), shorter, [11] * 7)


def test_openvino_computes_in_float32(write_openvino: Write, tmp_path: Path) -> None:
    """Its default is bfloat16 on CPUs that have it."""
    import openvino

    from power_bert_runtime.openvino_engine import compile_model

    path = write_openvino(tmp_path / "m.xml")
    compiled = compile_model(openvino.Core().read_model(path), 1)
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_litert_takes_the_shortest_signature_for_each_example(
    write_tflite: Write, tmp_path: Path, threads: int
) -> None:
    path = write_tflite(tmp_path / "m.tflite", (4, 9, 12))
    with Classifier(path, threads=threads) as classifier:
        assert (classifier.runtime, classifier.threads) == ("litert", threads)
        check(classifier.run(examples()), examples(), [4, 9, 9, 12, 4, 4, 12])
        check(classifier.run(examples(), pad_to=5), examples(), [9, 9, 9, 12, 9, 9, 12])
        for length in (1, 4, 5, 12):
            alone = examples([length])
            check(classifier.run(alone), alone, [{1: 4, 4: 4, 5: 9, 12: 12}[length]])


def test_files_of_other_lengths_beside_a_tflite_file_are_found(write_tflite: Write, tmp_path: Path) -> None:
    same: dict[str, Any] = {"weights_sha256": "5" * 64}
    path = write_tflite(tmp_path / "m.tflite", (12,), **same)
    write_tflite(tmp_path / "m-5.tflite", (5,), **same)
    write_tflite(tmp_path / "m-9.tflite", (9,), weights_sha256="6" * 64)  # of other weights
    write_tflite(tmp_path / "m-large.tflite", (3,), **same)  # no length in its name
    with Classifier(path, threads=1) as classifier:
        check(classifier.run(examples()), examples(), [5, 12, 5, 12, 5, 5, 12])
        assert classifier.size_bytes == path.stat().st_size + (tmp_path / "m-5.tflite").stat().st_size
    for order in (("m-5", "m"), ("m", "m-5")):
        with Classifier(*(tmp_path / f"{name}.tflite" for name in order), threads=1) as both:
            assert (both.max_length, both.name) == (12, order[0])
            check(both.run(examples()), examples(), [5, 12, 5, 12, 5, 5, 12])


def test_files_without_a_checksum_of_their_weights_are_never_joined_by_their_names(
    write_tflite: Write, tmp_path: Path
) -> None:
    path = write_tflite(tmp_path / "m.tflite", (12,))
    write_tflite(tmp_path / "m-5.tflite", (5,))
    with Classifier(path, threads=1) as classifier:
        check(classifier.run(examples()), examples(), [12] * 7)


@pytest.mark.parametrize("change", [{"labels": ["w", "x", "y", "z"]}, {"pairs": True}, {"task": "other"}])
def test_files_that_differ_in_what_they_answer_are_not_of_one_model(
    write_tflite: Write, tmp_path: Path, change: dict[str, Any]
) -> None:
    one, other = write_tflite(tmp_path / "one.tflite"), write_tflite(tmp_path / "other.tflite", (5,), **change)
    with pytest.raises(UserError, match=r"other\.tflite and .*one\.tflite: not of one model"):
        Classifier(one, other)


def test_several_threads_may_call_one_classifier(
    write_onnx: Write, write_openvino: Write, write_tflite: Write, tmp_path: Path
) -> None:
    paths = [write_onnx(tmp_path / "m.onnx"), write_openvino(tmp_path / "m.xml"), write_tflite(tmp_path / "m.tflite")]
    for path in paths:
        with Classifier(path, threads=2, batch_size=2) as classifier, ThreadPoolExecutor(4) as pool:
            requests = [examples(LENGTHS[number:]) for number in range(6)]
            for encoded, outputs in zip(requests, pool.map(classifier.run, requests), strict=True):
                check(outputs, encoded, outputs[:, 3].astype(int).tolist())


def test_predict_with_litert_shares_the_examples_and_counts_them(
    tflite_model: Callable[..., bytes],
) -> None:
    from power_bert_runtime.litert import predict_with_litert, run_examples

    done: list[int] = []
    model = tflite_model((4, 12))
    check(predict_with_litert(model, examples(), advance=done.append), examples(), [12] * 7)
    assert done == [1] * 7
    short = examples([3, 4, 1, 2])
    check(predict_with_litert(model, short, "length_4"), short, [4] * 4)
    read = run_examples(model, short, lambda classifier, outputs: (classifier.length, outputs[2].item()), "length_4")
    assert read == [(4, 3.0), (4, 4.0), (4, 1.0), (4, 2.0)]


@pytest.mark.parametrize(("kind", "name"), [("onnx", "ONNX Runtime"), ("tflite", "LiteRT"), ("xml", "OpenVINO")])
def test_a_model_that_its_runtime_cannot_run(
    write_onnx: Write, write_openvino: Write, write_tflite: Write, tmp_path: Path, kind: str, name: str
) -> None:
    path = tmp_path / f"m.{kind}"
    {"onnx": write_onnx, "xml": write_openvino, "tflite": write_tflite}[kind](path)
    content = path.read_bytes()
    # Of a .tflite file, the tables, but not its mark and the files inside.
    damaged = content[:12] + bytes(200) + content[212:] if kind == "tflite" else content[: len(content) // 3]
    path.write_bytes(damaged)
    with pytest.raises(UserError) as raised:
        Classifier(path)
    assert str(raised.value).startswith(f"{path}: damaged, or not a model that {name} can run (")
    assert str(raised.value).endswith("Copy or export it again: bash run.sh export RUN --out FILE")


def test_a_signature_that_the_settings_promise_and_the_model_lacks(write_tflite: Write, tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "m.tflite", (12,), lengths=[5, 12])
    with Classifier(path, threads=1) as classifier:
        check(classifier.run(examples([9])), examples([9]), [12])
        with pytest.raises(UserError, match=r"m\.tflite: damaged, or not a model that LiteRT can run"):
            classifier.run(examples([3]))


def test_openvino_weights_are_checked(write_openvino: Write, tmp_path: Path) -> None:
    import hashlib

    path = write_openvino(tmp_path / "m.xml")
    weights = (tmp_path / "m.bin").read_bytes()
    write_openvino(path, model_sha256=hashlib.sha256(weights).hexdigest())
    with Classifier(path) as classifier:
        assert classifier.labels == ("ids", "segments", "tokens", "width")
    (tmp_path / "m.bin").write_bytes(weights + b"\0")
    with pytest.raises(UserError, match=r"m\.bin: damaged, its weights are not those that were written \(sha256\)"):
        Classifier(path)
    (tmp_path / "m.bin").unlink()
    with pytest.raises(UserError, match=r"m\.bin: cannot be read .*expected a file of weights beside its \.xml file"):
        Classifier(path)


def test_onnx_files_hold_their_own_checksum(write_onnx: Write, tmp_path: Path) -> None:
    from power_bert_runtime.stored_files import NO_CHECKSUM, checksum_of

    path = write_onnx(tmp_path / "m.onnx", model_sha256=NO_CHECKSUM)
    checksum = checksum_of(path.read_bytes())
    content = path.read_bytes().replace(NO_CHECKSUM.encode(), checksum.encode())
    path.write_bytes(content)
    Classifier(path).close()
    path.write_bytes(content.replace(b"sums", b"rums"))  # the name of the task
    with pytest.raises(UserError, match=r"m\.onnx: damaged, it is not as it was written \(sha256\)"):
        Classifier(path)


@pytest.mark.parametrize("kind", ["onnx", "tflite", "xml"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": None}, r"damaged, power_bert\.json says no max_length of at least 1"),
        ({"max_length": 0}, r"damaged, power_bert\.json says no max_length of at least 1"),
        ({"max_length": "12"}, 'max_length is "12", expected a whole number'),
        ({"labels": []}, "names no labels, and is no regression; export it again with --labels"),
        ({"cls_token": "<s>"}, r"vocab\.txt: special tokens are missing: <s>"),
    ],
)
def test_settings_that_a_classifier_cannot_do_without(
    write_onnx: Write,
    write_openvino: Write,
    write_tflite: Write,
    tmp_path: Path,
    kind: str,
    change: dict[str, Any],
    message: str,
) -> None:
    path = tmp_path / f"m.{kind}"
    {"onnx": write_onnx, "xml": write_openvino, "tflite": write_tflite}[kind](path, **change)
    with pytest.raises(UserError, match=message) as raised:
        Classifier(path)
    assert str(raised.value).startswith(str(path))


def test_files_without_anything_inside(write_onnx: Write, tmp_path: Path) -> None:
    import onnx

    path = write_onnx(tmp_path / "m.onnx")
    model = onnx.load(path)
    for kept, missing in (("vocab.txt", "power_bert.json"), ("power_bert.json", "vocab.txt")):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        del changed.metadata_props[:]
        changed.metadata_props.extend(each for each in model.metadata_props if each.key == kept)
        onnx.save(changed, path)
        with pytest.raises(UserError, match=rf"m\.onnx: has no {missing} inside, so it is not an export"):
            Classifier(path)


def test_metadata_are_all_settings(write_onnx: Write, tmp_path: Path) -> None:
    with Classifier(write_onnx(tmp_path / "m.onnx", quantization="int8", flops={"12": 1.5})) as classifier:
        assert classifier.metadata["flops"] == {"12": 1.5} and classifier.metadata["quantization"] == "int8"
        assert json.loads(json.dumps(classifier.metadata)) == classifier.metadata
        assert classifier.vocabulary_size == 9
