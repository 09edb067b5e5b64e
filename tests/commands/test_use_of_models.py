"""Commands that use, export, time and serve models: what they refuse before a model is loaded, what they pass on."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Refused = Callable[..., str]
Call = Callable[..., tuple[int, str]]
Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]
StandIn = Callable[..., Calls]


class TestPredict:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("m.onnx", "--runner", "spark"), "--runner 'spark': expected one of local, beam"),
            (("m.onnx", "--beam-option", "--x=1"), "--beam-option --x=1: is for --runner beam"),
            (("RUN", "--runner", "beam"), "RUN: --runner beam predicts with exported files. Export it first"),
            (("m.onnx", "--phase", "baseline"), "m.onnx: retention configuration and max length of an exported file"),
            (("m.onnx", "--max-length", "9"), "m.onnx: retention configuration and max length of an exported file"),
            (("m.xml", "--retention-config", "none"), "m.xml: retention configuration and max length of an exported"),
            (("m.tflite", "--task", "colla"), "Unknown task 'colla'. Did you mean 'cola'?"),
        ],
    )
    def test_what_does_not_fit_together(self, options: tuple[str, ...], message: str, refused: Refused) -> None:
        assert refused("predict", *options).startswith(message)

    def test_data_of_the_environment_are_not_for_raw_text(self, call: Call, stand_in: StandIn) -> None:
        loaded = stand_in("power_bert.export.exported_model.load_exported", "model")
        predicted = stand_in("power_bert.predict.prediction_output.predict_raw_texts")
        environment = {"TASK": "cola", "DATA_DIR": "/env", "THREADS": "3"}
        call("predict", "m.onnx", "--input", "in.csv", "--text-column", "title, body", "--format", "csv", **environment)
        assert loaded == [((Path("m.onnx"), None, None, 3), {})]
        ((model, source, form, output, _, columns, _), _) = predicted[0]
        assert (model, source, output, form, columns) == ("model", Path("in.csv"), None, "csv", ("title", "body"))

    def test_a_split_is_written_in_the_format_of_glue(self, call: Call, stand_in: StandIn, tmp_path: Path) -> None:
        loaded = stand_in("power_bert.export.exported_model.load_exported", "model")
        predicted = stand_in("power_bert.predict.prediction_output.predict_split")
        call("predict", "m.onnx", "--split", "test", TASK="cola", DATA_DIR=str(tmp_path))
        call("predict", "m.onnx", "--split", "dev", "--format", "jsonl", "--data-dir", "tfds:glue/cola")
        assert [arguments[:3] for arguments, _ in loaded] == [
            (Path("m.onnx"), None, str(tmp_path)),
            (Path("m.onnx"), None, "tfds:glue/cola"),
        ]
        assert [arguments[1:4] for arguments, _ in predicted] == [("test", "glue", None), ("dev", "jsonl", None)]


def test_an_exported_file_cannot_be_explained(refused: Refused) -> None:
    message = "m.onnx: an exported file gives probabilities, not the tokens that its blocks keep; give the run"
    assert refused("explain", "m.onnx", "a text").startswith(message)


class TestExport:
    @pytest.fixture
    def exported(self, stand_in: StandIn) -> dict[str, Calls]:
        return {
            "load": stand_in("power_bert.runs.trained_model.load_trained_model", SimpleNamespace(seed=7)),
            "phones": stand_in("power_bert.export.exporter.export"),
            "servers": stand_in("power_bert.export.server_exporter.export_for_servers"),
        }

    def test_defaults(self, call: Call, exported: dict[str, Calls], tmp_path: Path) -> None:
        from power_bert.export.export_options import ExportOptions

        assert call("export", "RUN", "--out", tmp_path / "m.tflite") == (0, "")
        ((model, out, options, _), _) = exported["phones"][0]
        assert (model.seed, out, exported["servers"]) == (7, tmp_path / "m.tflite", [])
        assert options == ExportOptions(seed=7), "the seed of the run"
        assert exported["load"] == [(("RUN", None, None, None, None), {})]

    def test_a_format_for_servers(self, call: Call, exported: dict[str, Calls], tmp_path: Path) -> None:
        settings = ("--quantize", "int8", "--min-agreement", "97.5", "--seed", "3", "--labels", "wrong, right")
        names = ("--name", "N", "--version", "2", "--author", "A", "--license", "L", "--phase", "1_fine_tune")
        target = ("RUN", "--out", tmp_path / "m.onnx", "--format", "onnx")
        call("export", *target, *settings, *names, RETENTION_CONFIG="none")
        ((_, out, form, options, _), _) = exported["servers"][0]
        assert (out, form, exported["phones"]) == (tmp_path / "m.onnx", "onnx", [])
        assert (options.quantize, options.min_agreement, options.seed) == ("int8", 97.5, 3)
        assert options.labels == ("wrong", "right")
        description = options.description
        assert [description.name, description.version, description.author, description.license] == ["N", "2", "A", "L"]
        assert exported["load"][0][0] == ("RUN", None, None, "none", "1_fine_tune")

    def test_lengths(self, call: Call, exported: dict[str, Calls], refused: Refused, tmp_path: Path) -> None:
        call("export", "RUN", "--out", tmp_path / "m.tflite", "--lengths", "32, 64", "--one-file")
        options = exported["phones"][0][0][2]
        assert (options.lengths, options.one_file) == ((32, 64), True)
        message = refused("export", "RUN", "--out", tmp_path / "m.tflite", "--lengths", "32;64")
        assert message.startswith("--lengths 32;64: expected whole numbers") and len(exported["load"]) == 1

    @pytest.mark.parametrize("options", [("--min-agreement", "49"), ("--format", "pb"), ("--quantize", "int4")])
    def test_what_is_out_of_range(self, options: tuple[str, str], call: Call) -> None:
        status, output = call("export", "RUN", "--out", "m.tflite", *options)
        assert status == 2 and options[0] in output


class TestBenchmarkExport:
    def test_texts_and_pairs_reach_the_measurement(self, call: Call, stand_in: StandIn, tmp_path: Path) -> None:
        measured = stand_in("power_bert.benchmarks.export_latency.measure_exports", [])
        shown = stand_in("power_bert.benchmarks.export_latency.export_text", "shown")
        (tmp_path / "texts.txt").write_text("one text\nanother\n")
        (tmp_path / "pairs.txt").write_text("one\ttwo\nthree\tfour\n")
        assert call("benchmark-export", "a.onnx", "b.tflite", "--runs", "7", THREADS="1") == (0, "shown\n")
        call("benchmark-export", "a.onnx", "--texts", tmp_path / "texts.txt")
        call("benchmark-export", "a.onnx", "--texts", tmp_path / "pairs.txt")
        files = [Path("a.onnx"), Path("b.tflite")]
        assert [arguments for arguments, _ in measured] == [
            (files, [], 1, 7),
            (files[:1], ["one text", "another"], 2, 100),
            (files[:1], [("one", "two"), ("three", "four")], 2, 100),
        ]
        assert [arguments[1:] for arguments, _ in shown] == [(1, 0), (2, 2), (2, 2)]

    def test_the_texts_are_read_before_anything_is_timed(
        self, refused: Refused, stand_in: StandIn, tmp_path: Path
    ) -> None:
        measured = stand_in("power_bert.benchmarks.export_latency.measure_exports", [])
        assert str(tmp_path / "none.txt") in refused("benchmark-export", "a.onnx", "--texts", tmp_path / "none.txt")
        assert measured == []


class TestWeb:
    @pytest.fixture
    def done(self, stand_in: StandIn) -> dict[str, Calls]:
        return {
            "build": stand_in("power_bert.export.web.build.build_site", Path("site")),
            "write": stand_in("power_bert.export.web.build.write_site"),
            "serve": stand_in("power_bert.export.web.serve.serve"),
        }

    def test_a_file_that_is_not_there(self, refused: Refused, done: dict[str, Calls], tmp_path: Path) -> None:
        message = refused("web", tmp_path / "m.tflite")
        assert message.startswith(f"{tmp_path / 'm.tflite'}: no such file. Export one with: bash run.sh export")
        assert done == {"build": [], "write": [], "serve": []}

    def test_it_serves_on_this_machine_alone(self, call: Call, done: dict[str, Calls], tmp_path: Path) -> None:
        (tmp_path / "m.tflite").touch()
        call("web", tmp_path / "m.tflite", "--port", "9000")
        assert done["serve"][0][0][:4] == (Path("site"), [tmp_path / "m.tflite"], 9000, "127.0.0.1")

    def test_building_alone(self, call: Call, done: dict[str, Calls]) -> None:
        assert call("web", "--build") == (0, "The page is in site\n") and done["serve"] == done["write"] == []

    def test_a_folder_for_a_web_host(self, call: Call, done: dict[str, Calls], tmp_path: Path) -> None:
        status, output = call("web", "--out", tmp_path / "public")
        assert status == 0 and output.startswith(f"wrote {tmp_path / 'public'}: any web host can serve it")
        assert "Cross-Origin-Opener-Policy: same-origin" in output, "threads need this header"
        assert done["write"][0][0][:2] == (tmp_path / "public", []) and done["serve"] == done["build"] == []


class TestServe:
    def test_an_exported_file_is_opened_without_tensorflow(self, stand_in: StandIn) -> None:
        from power_bert.commands import service

        opened = stand_in("power_bert_runtime.Classifier", "exported")
        assert str(service._open("m.onnx", 3)) == "exported" and opened == [(("m.onnx",), {"threads": 3})]
        process = stand_in("power_bert.serving.keras_process.KerasProcess", "run")
        assert str(service._open("RUN", None)) == "run" and process == [(("RUN", None), {})]

    def test_it_has_a_page_only_if_that_was_built(self, stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
        from power_bert.commands import service

        built = stand_in("power_bert.export.web.build.build_site", Path("site"))
        stand_in("power_bert.export.web.build.packages_are_installed", False)
        assert service._built_page() is None and built == []
        assert "note: no page at /, because it is not built yet: bash run.sh web --build" in capsys.readouterr().err
        stand_in("power_bert.export.web.build.packages_are_installed", True)
        assert service._built_page() == Path("site")
