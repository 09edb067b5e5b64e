"""Tests of the page in headless Chromium, with files that the exporter wrote."""

import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from power_bert.export.web.serve import PageServer

pytestmark = pytest.mark.slow

TEXTS = (
    "The cat sat.",
    "Caf\u00e9s, caf\u00e9 \u2014 cats \U0001f600 \u4e2d\u56fd!",
    "UNAFFABLE cats\tsitting on the [MASK] \u039f\u0394\u039f\u03a3",
    "the cat sat the cat sat the cat sat the cat sat the cat sat",
)
SECOND_TEXTS = ("the", "sat un sat", "The Cat", "the cat sat the cat sat the cat sat the cat sat the cat sat the")
MAX_LENGTH = 16
SOFTWARE_WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
# The page shows tenths of a percent.
SHOWN = 0.5e-3
TOLERANCE = 1e-3
# kind of quantization → how far probabilities may be from Keras'
QUANTIZED = {"float16": 0.01, "dynamic": 0.05, "int8": 0.05}

Visit = Callable[..., dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Exported:
    """A model file and the Keras model that it was made from."""

    path: Path
    classifier: Any
    takes_pairs: bool

    @property
    def name(self) -> str:
        return self.path.name

    def expected(self) -> np.ndarray:
        """What Keras gives for the texts: probabilities (texts, classes), or scores (texts, 1)."""
        first = list(TEXTS)
        outputs = self.classifier.predict((first, list(SECOND_TEXTS)) if self.takes_pairs else first, verbose=0)
        if self.classifier.is_regressor:
            return outputs
        exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Exported models with random weights: what they take → file."""
    folder = tmp_path_factory.mktemp("models")
    rows = [
        {"first": first, "second": second, "label": str(number % 2), "score": number}
        for number, (first, second) in enumerate(zip(TEXTS, SECOND_TEXTS, strict=True))
    ]
    for split in ("train", "dev"):
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    hard = {"extraction": "hard", "retention": (0.7, 0.4)}
    return {
        "uncased": _export(folder / "uncased.tflite", 3, **hard),
        "cased": _export(folder / "cased.tflite", 7, lowercase=False, lengths=(MAX_LENGTH, 8)),
        "pairs": _export(folder / "pairs.tflite", 2, takes_pairs=True, **hard),
        "regression": _export(folder / "regression.tflite", 1, takes_pairs=True),
        "survivors": _export(folder / "survivors.tflite", 3, surviving_tokens=True, **hard),
        **{kind: _export(folder / f"{kind}.tflite", 3, quantize=kind, **hard) for kind in QUANTIZED},
    }


def _export(
    path: Path,
    num_classes: int,
    takes_pairs: bool = False,
    lowercase: bool = True,
    lengths: tuple[int, ...] = (MAX_LENGTH,),
    quantize: str = "none",
    surviving_tokens: bool = False,
    **architecture: Any,
) -> Exported:
    """A model with random weights, through the exporter."""
    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export
    from power_bert.runs.trained_model import TrainedModel
    from power_bert.text.custom_task import make_custom_task

    classifier = _make_classifier(num_classes, lowercase, **architecture)
    columns = ("first", "second") if takes_pairs else ("first",)
    target = ("score", None, "spearman") if classifier.is_regressor else ("label", classifier.labels, "accuracy")
    task = make_custom_task(columns, *target)
    model = TrainedModel("random weights", classifier, task, str(path.parent), MAX_LENGTH, "none")
    options = ExportOptions(quantize, lengths, one_file=True, surviving_tokens=surviving_tokens)
    export(model, path, options, Console(quiet=True))
    return Exported(path, classifier, takes_pairs)


def _make_classifier(num_classes: int, lowercase: bool, **architecture: Any) -> Any:
    import keras

    from power_bert.model.backbone import PowerBertBackbone
    from power_bert.model.classifier import PowerBertTextClassifier
    from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer

    vocabulary = json.loads(Path(__file__).with_name("golden_tokenizer.json").read_text())["vocabulary"]
    keras.utils.set_random_seed(num_classes)
    backbone = PowerBertBackbone(
        **{"vocabulary_size": len(vocabulary), "num_layers": 2, "num_heads": 2, "hidden_dim": 16},
        **{"intermediate_dim": 24, "max_sequence_length": MAX_LENGTH, "initializer_range": 0.3, **architecture},
    )
    tokenizer = PowerBertTokenizer(vocabulary, lowercase)
    preprocessor = PowerBertTextClassifierPreprocessor(tokenizer, sequence_length=MAX_LENGTH)
    labels = None if num_classes == 1 else tuple(str(number) for number in range(num_classes))
    return PowerBertTextClassifier(backbone, num_classes, preprocessor, labels)


@pytest.fixture(scope="module")
def browse(node: str, browser: Path, chromium: str, chromium_arguments: list[str]) -> Visit:
    """Lets a browser use the page at an address and returns what the browser saw; see browser/drive.mjs."""

    def use(address: str, arguments: list[str] | None = None, **plan: Any) -> dict[str, Any]:
        plan |= {"address": address, "chromium": chromium, "arguments": [*chromium_arguments, *(arguments or [])]}
        ended = subprocess.run(
            [node, str(browser / "drive.mjs")],
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return use


@pytest.fixture(scope="module")
def visit(browse: Visit, site: Path) -> Visit:
    """Serves the page, lets a browser use it and returns what the browser saw."""

    def use(
        files: list[Path],
        texts: list[tuple[str, str | None]],
        served: list[Path] | None = None,
        backend: str | None = None,
        arguments: list[str] | None = None,
        compare: str = "",
        measure: bool = False,
        texts_file: Path | None = None,
    ) -> dict[str, Any]:
        with PageServer(site, served or [], 0) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            plan = {"files": list(map(str, files)), "texts": texts, "backend": backend, "compare": compare}
            plan |= {"measure": measure, "textsFile": texts_file and str(texts_file)}
            seen = browse(server.address, arguments, **plan)
            server.shutdown()
            thread.join()
        return seen

    return use


def _assert_same(model: Exported, shown: list[dict[str, float]], tolerance: float = TOLERANCE) -> None:
    """What the page shows for the texts is what Keras gives."""
    labels = list(model.classifier.labels or ["score"])
    assert all(set(bars) == set(labels) for bars in shown)
    found = np.array([[bars[label] for label in labels] for bars in shown])
    expected = model.expected()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    # Labels are compared where the display's last digit does not decide.
    ordered = np.sort(expected, axis=1)
    clear = expected.shape[1] == 1 or ordered[:, -1] - ordered[:, -2] > 2 * (tolerance + SHOWN)
    assert np.all((found.argmax(axis=1) == expected.argmax(axis=1)) | ~np.asarray(clear))
    assert np.ptp(expected, axis=0).max() > 10 * TOLERANCE, "the texts must differ for the model"


def test_models_side_by_side(models: dict[str, Exported], visit: Visit) -> None:
    compared = [models["uncased"], models["cased"]]
    seen = visit([model.path for model in compared], [(text, None) for text in TEXTS])
    assert seen["errors"] == []
    for column, model in enumerate(compared):
        _assert_same(model, [bars[column] for bars in seen["results"]])
    assert len(seen["table"]) == 2
    assert all(model.name in row and "ms" in row for model, row in zip(compared, seen["table"], strict=True))
    assert seen["status"].startswith("2 models") and "WebAssembly" in seen["status"]
    assert "cut off" in seen["notes"][-1][0] and "cut off" not in seen["notes"][0][0]
    assert "padded to 16" in seen["notes"][0][0] and "padded to 8" in seen["notes"][0][1], "the shortest that fits"
    assert len(seen["hosts"]) == 1 and seen["hosts"][0].startswith("127.0.0.1:"), "nothing comes from other hosts"


def test_the_surviving_tokens_are_those_of_explain(models: dict[str, Exported], visit: Visit) -> None:
    from power_bert.predict.surviving_tokens import explain_text
    from power_bert.runs.trained_model import TrainedModel

    shown, plain = models["survivors"], models["uncased"]
    seen = visit([shown.path, plain.path, models["cased"].path], [(text, None) for text in TEXTS])
    assert seen["errors"] == []
    _assert_same(shown, [bars[0] for bars in seen["results"]])
    model = TrainedModel("random weights", shown.classifier, None, None, MAX_LENGTH, "none")
    for text, (rows, advice, nothing) in zip(TEXTS, seen["survivors"], strict=True):
        explained = explain_text(model, text)
        steps = [np.ones(len(explained.tokens), bool), *explained.kept]
        assert rows == [[list(cell) for cell in zip(explained.tokens, kept.tolist(), strict=True)] for kept in steps]
        assert not all(left for _, left in rows[-1])
        assert len(advice) == 1 and "uncased.tflite" in advice[0] and "--surviving-tokens" in advice[0]
        assert nothing == []  # it eliminates no tokens


@pytest.mark.parametrize("is_file", [True, False])
def test_a_table_is_compared_and_saved_with_its_columns(
    models: dict[str, Exported], visit: Visit, tmp_path: Path, is_file: bool
) -> None:
    table = [["id", "comment", "label"], *([str(row), text, "x"] for row, text in enumerate(TEXTS))]
    written = io.StringIO()
    csv.writer(written).writerows(table)
    (tmp_path / "texts.csv").write_text(written.getvalue(), encoding="utf-8", newline="")
    given = {"texts_file": tmp_path / "texts.csv"} if is_file else {"compare": written.getvalue()}
    seen = visit([models["uncased"].path, models["float16"].path], [(TEXTS[0], None)], **given)
    assert seen["errors"] == []
    summary, listed = seen["compared"][:3], seen["compared"][3:]
    assert summary[0][:4] == ["Model", "Size", "Latency", "Speed-up"] and [row[0] for row in listed[1:]] == list(TEXTS)
    header, *rows = csv.reader(io.StringIO(seen["csv"], newline=""))
    assert header == [*table[0], "model", "predicted_label", "0", "1", "2", "tokenizing_ms", "inference_ms"]
    assert [row[:3] for row in rows] == [row for row in table[1:] for _ in range(2)]
    assert [row[4] for row in rows[::2]] == [str(best) for best in models["uncased"].expected().argmax(axis=1)]


def test_threads_where_the_server_sends_the_headers(models: dict[str, Exported], visit: Visit) -> None:
    seen = visit([], [], served=[models["cased"].path])
    threads = min(4, os.cpu_count() or 1)
    assert f"{threads} thread" in seen["status"]


def test_quantized_models(models: dict[str, Exported], visit: Visit) -> None:
    served = [models[kind].path for kind in QUANTIZED]
    seen = visit([], [(text, None) for text in TEXTS], served=served, compare="\n".join(TEXTS), measure=True)
    assert all("5 runs, in turn" in note for note in seen["notes"][-2])
    assert all("30 runs, in turn" in note for note in seen["notes"][-1])
    assert seen["errors"] == []
    for column, (kind, tolerance) in enumerate(QUANTIZED.items()):
        _assert_same(models[kind], [bars[column] for bars in seen["results"]], tolerance)
    first, *others = [row.split("\t") for row in seen["table"]]
    assert "teacher" in first[0] and "float16" in first and first[-1] == "70 % 40 %"
    for kind, row in zip(list(QUANTIZED)[1:], others, strict=True):
        cosine, variation = row[4:6]
        assert kind in row and float(cosine) > 0.98 and 0 <= float(variation) < 0.05
        taught, latency, speed_up = (float(cell.split()[0]) for cell in (first[2], row[2], row[3]))
        rounding = 0.005  # of what is shown
        most, least = (taught + rounding) / (latency - rounding), (taught - rounding) / (latency + rounding)
        assert least - rounding <= speed_up <= most + rounding
    assert seen["overflow"] == 0
    summary, rows = seen["compared"][: 1 + len(served)], seen["compared"][1 + len(served) :]
    assert summary[1][3:] == ["1.00 ×", "100.0 %", "1.0000", "0.0000"]
    assert all(float(row[5]) > 0.98 and float(row[6]) < 0.05 for row in summary[1:])
    assert [row[0] for row in rows[1:]] == list(TEXTS)


@pytest.mark.parametrize("name", ["pairs", "regression"])
def test_pairs_of_texts(name: str, models: dict[str, Exported], visit: Visit) -> None:
    texts = list(zip(TEXTS, SECOND_TEXTS, strict=True))
    seen = visit([], texts, served=[models[name].path])
    assert seen["errors"] == []
    _assert_same(models[name], [bars[0] for bars in seen["results"]])


def test_bad_files_are_explained_and_the_others_work(models: dict[str, Exported], visit: Visit, tmp_path: Path) -> None:
    content = models["uncased"].path.read_bytes()
    bad = {"text.tflite": b"hello", "cut.tflite": content[: len(content) // 2]}
    bad["broken.tflite"] = _without_softmax(models["cased"].path)
    for name, spoiled in bad.items():
        (tmp_path / name).write_bytes(spoiled)
    files = [*(tmp_path / name for name in bad), models["uncased"].path]
    seen = visit(files, [(text, None) for text in TEXTS])
    assert len(seen["cards"]) == 1
    _assert_same(models["uncased"], [bars[0] for bars in seen["results"]])
    first, second, third = seen["errors"]
    assert first.startswith("text.tflite: not a .tflite file")
    assert second.startswith("cut.tflite: ")
    assert third.startswith("broken.tflite: the runtime cannot run it (its outputs are no probabilities")


def _without_softmax(path: Path) -> bytes:
    """The file with its last operation exchanged: the runtime runs it, and what comes out are no probabilities."""
    from ai_edge_litert import schema_py_generated as schema

    from power_bert.export.model_file import append_files, pack_model, unpack_model

    model = unpack_model(path.read_bytes())
    (softmax,) = [code for code in model.operatorCodes if code.builtinCode == schema.BuiltinOperator.SOFTMAX]
    softmax.builtinCode = softmax.deprecatedBuiltinCode = schema.BuiltinOperator.NEG
    for operator in model.subgraphs[0].operators:
        if model.operatorCodes[operator.opcodeIndex] is softmax:
            operator.builtinOptionsType, operator.builtinOptions = 0, None
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    packed = pack_model(model)
    # With its own checksum: the file is whole, and what is in it is wrong.
    settings = json.loads(files["power_bert.json"]) | {"model_sha256": hashlib.sha256(packed).hexdigest()}
    files["power_bert.json"] = json.dumps(settings).encode()
    return append_files(packed, files)


def test_webgpu_gives_the_same_results_or_none(models: dict[str, Exported], visit: Visit) -> None:
    model = models["uncased"]
    seen = visit([model.path], [(text, None) for text in TEXTS], backend="webgpu", arguments=SOFTWARE_WEBGPU)
    assert "WebGPU" in seen["status"]
    shown = [bars[0] for bars in seen["results"]]
    if any(shown):
        assert seen["errors"] == []
        _assert_same(model, shown)
    else:
        assert len(seen["errors"]) == 1 and "WebGPU cannot run it" in seen["errors"][0]


def test_models_of_the_server_stand_beside_those_in_the_browser(
    browse: Visit, site: Path, models: dict[str, Exported]
) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'serve': EXTRAS=serve bash run.sh test")
    from power_bert_runtime import Classifier
    from power_bert_runtime.serving.application import create_app
    from power_bert_runtime.serving.server_settings import ServerSettings

    teacher, dynamic, opened = models["uncased"], models["dynamic"], models["float16"]
    served = {"teacher": Classifier(teacher.path), "dynamic": Classifier(dynamic.path)}
    token = "0123456789abcdef"
    texts = [text for text in TEXTS if text.strip()]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_app(served, ServerSettings(token=token), site)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        seen = browse(
            f"http://127.0.0.1:{listener.getsockname()[1]}/",
            files=[str(opened.path)],
            texts=[(text, None) for text in texts],
            token=token,
            compare="\n".join(texts),
        )
        server.should_exit = True
        thread.join()
    assert seen["errors"] == []
    assert seen["cards"][:2] == ["teacher", "dynamic"] and len(seen["cards"]) == 3
    for column, model in enumerate((teacher, dynamic, opened)):
        tolerance = QUANTIZED.get(model.path.stem, TOLERANCE)
        for shown, expected in zip([row[column] for row in seen["results"]], model.expected(), strict=True):
            assert [shown[label] for label in model.classifier.labels] == pytest.approx(expected, abs=tolerance + SHOWN)
    summary, rows = seen["compared"][:4], seen["compared"][4:]
    assert summary[0][:2] == ["Model", "Size"] and [row[0] for row in summary[1:3]] == ["teacher (teacher)", "dynamic"]
    assert summary[1][3:] == ["1.00 ×", "100.0 %", "1.0000", "0.0000"]
    assert rows[0][:3] == ["Text", "teacher", "dynamic"] and len(rows) == 1 + len(texts)


def test_the_guide_for_phones_says_what_the_file_has(models: dict[str, Exported], project_root: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    guide = (project_root / "docs" / "phones.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (input|output) \| `(\w+)` \| (\w+) \| \[1, (\w+)\] \|", guide, flags=re.MULTILINE)
    (key,) = set(re.findall(r"Signature `(\w+)`", guide))
    runner = Interpreter(str(models["uncased"].path)).get_signature_runner(key)
    sizes = {"n": MAX_LENGTH, "classes": 3}
    for kind, details in (("input", runner.get_input_details()), ("output", runner.get_output_details())):
        said = {name: (dtype, (1, sizes[size])) for row_kind, name, dtype, size in rows if row_kind == kind}
        assert said == {
            name: (np.dtype(detail["dtype"]).name, tuple(detail["shape"])) for name, detail in details.items()
        }
