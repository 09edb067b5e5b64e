"""Damaged rows, labels, texts and predictions: read as they stand there, or refused with a short message."""

import csv
import functools
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutated, mutation_settings, value_or_user_error
from power_bert.glue.prediction_faults import find_prediction_faults
from power_bert.glue.submission import find_submission_faults
from power_bert.text.custom_task import find_labels, make_custom_task
from power_bert.text.examples import Examples, read_examples
from power_bert.text.glue_tasks import TASKS, get_task
from power_bert.text.label_counts import describe_labels
from power_bert.text.predictions import read_predictions
from power_bert.text.raw_texts import stream_raw_examples
from power_bert.text.task import Split, Task
from power_bert.text.text_files import find_text_columns, stream_text_file

WORDS = ("a fine film", 'He said "no".', "", "naïve café", "tab-free, with comma")
LABELS = ("neg", "pos")
TASK = make_custom_task(("sentence",), "label", LABELS, "accuracy")
ROWS = [(word, LABELS[row % 2]) for row, word in enumerate(WORDS * 3)]
TSV = "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)
JSON_LINES = "".join(json.dumps({"sentence": text, "label": label, "id": 3}) + "\n" for text, label in ROWS)


def as_csv() -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("sentence", "label"), *ROWS])
    return text.getvalue()


CSV = as_csv()
TABLES = (("texts.csv", CSV), ("texts.jsonl", JSON_LINES), ("texts.tsv", TSV))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def read(folder: Path, task: Task, name: str, data: bytes, split: Split = "train") -> Examples | None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_bytes(data)
    try:
        return value_or_user_error(functools.partial(read_examples, task, split, folder))
    finally:
        (folder / name).unlink()


def rows_of(examples: Examples) -> list[tuple[str, str]]:
    assert examples.labels is not None
    return [(text, LABELS[label]) for text, label in zip(examples.first, examples.labels, strict=True)]


def lines_of(data: bytes) -> list[str]:
    lines = [line.removesuffix("\r") for line in data.decode("utf-8-sig").split("\n")]
    while not lines[-1]:
        lines.pop()
    return lines


class TestRows:
    @mutation_settings
    @given(mutated(TSV.encode()))
    def test_tsv(self, folder: Path, data: bytes) -> None:
        examples = read(folder, TASK, "train.tsv", data)
        if examples is not None and (lines := lines_of(data))[0] == "sentence\tlabel":
            assert [f"{text}\t{label}" for text, label in rows_of(examples)] == lines[1:]

    @mutation_settings
    @given(mutated(CSV.encode()))
    def test_csv(self, folder: Path, data: bytes) -> None:
        examples = read(folder, TASK, "train.csv", data)
        if examples is not None and (lines := lines_of(data))[0] == "sentence,label":
            rows = list(csv.reader(io.StringIO("\n".join(lines) + "\n", newline="")))
            assert rows_of(examples) == [tuple(row) for row in rows[1:]]

    @mutation_settings
    @given(mutated(JSON_LINES.encode()))
    def test_json_lines(self, folder: Path, data: bytes) -> None:
        examples = read(folder, TASK, "train.jsonl", data)
        if examples is not None:
            values = [json.loads(line.removeprefix("\ufeff")) for line in lines_of(data)]
            assert rows_of(examples) == [(value["sentence"], value["label"]) for value in values]

    @mutation_settings
    @given(mutated(b"gj04\t1\t\tHe left.\ngj04\t0\t*\tLeft he.\nw_80\t1\t\tSue said she left.\n" * 3))
    def test_without_header(self, folder: Path, data: bytes) -> None:
        examples = read(folder, TASKS["cola"], "train.tsv", data)
        if examples is not None and examples.labels is not None:
            rows = [line.split("\t") for line in lines_of(data)]
            assert [(row[3], int(row[1])) for row in rows] == list(zip(examples.first, examples.labels, strict=True))

    @mutation_settings
    @given(mutated(b"a fine film;joy\nno; film;sadness\n" * 5))
    def test_text_semicolon_label(self, folder: Path, data: bytes) -> None:
        examples = read(folder, get_task("emotion"), "train.txt", data)
        assert examples is None or examples.first == [line.rpartition(";")[0] for line in lines_of(data)]

    @mutation_settings
    @given(mutated(b'{"partition": "train", "intent": "alarm_set", "utt": "wake me at nine"}\n' * 5))
    def test_massive(self, folder: Path, data: bytes) -> None:
        examples = read(folder, get_task("massive"), "en-US.jsonl", data)
        if examples is not None:
            values = [json.loads(line.removeprefix("\ufeff")) for line in lines_of(data)]
            assert examples.first == [value["utt"] for value in values if value["partition"] == "train"]

    @mutation_settings
    @given(mutated(b"sentence1\tsentence2\tscore\na\tb\t5.000\nc\td\t0\ne\tf\t2.75\n" * 2))
    def test_scores(self, folder: Path, data: bytes) -> None:
        examples = read(folder, TASKS["sts-b"], "train.tsv", data)
        if examples is not None:
            assert examples.labels is not None and ((examples.labels >= 0) & (examples.labels <= 5)).all()

    @mutation_settings
    @given(mutated(b"index\tsentence\n0\tHe left.\n1\tLeft he.\n2\t\n"))
    def test_test_data(self, folder: Path, data: bytes) -> None:
        examples = read(folder, TASKS["sst-2"], "test.tsv", data, "test")
        if examples is not None and (lines := lines_of(data))[0] == "index\tsentence":
            assert [f"{index}\t{text}" for index, text in enumerate(examples.first)] == lines[1:]

    @mutation_settings
    @given(mutated(b"sentence,label,idx\ngood film,-1,0\nbad film,-1,1\n"))
    def test_hidden_labels(self, folder: Path, data: bytes) -> None:
        examples = read(folder, TASK, "test.csv", data, "test")
        assert examples is None or examples.labels is None or len(examples.labels) == len(examples.first)


@mutation_settings
@given(mutated(TSV.encode()))
def test_labels(folder: Path, data: bytes) -> None:
    (folder / "train.tsv").write_bytes(data)
    labels = value_or_user_error(lambda: find_labels(folder, ("sentence",), "label"))
    if labels is not None:
        assert len(set(labels)) == len(labels) >= 2
        task = make_custom_task(("sentence",), "label", labels, "accuracy")
        examples = read(folder, task, "train.tsv", data)
        assert examples is not None and examples.labels is not None
        assert set(examples.labels) == set(range(len(labels))), "every label that was found is there"
        assert all(len(line) < 1500 for line in describe_labels(labels, examples, examples))


class TestTexts:
    @mutation_settings
    @given(mutated("one\n\ntwo\r\nnaïve\n".encode()))
    def test_raw_texts(self, data: bytes) -> None:
        chunks = value_or_user_error(lambda: list(stream_raw_examples(io.BytesIO(data), "input.txt", False)))
        if chunks is not None and data:
            lines = data.decode("utf-8-sig").removesuffix("\n").split("\n")
            assert [text for chunk in chunks for text in chunk.first] == [line.removesuffix("\r") for line in lines]

    @mutation_settings
    @given(st.sampled_from(TABLES).flatmap(lambda table: st.tuples(st.just(table[0]), mutated(table[1].encode()))))
    def test_tables(self, folder: Path, name_and_data: tuple[str, bytes]) -> None:
        path, data = folder / name_and_data[0], name_and_data[1]
        path.write_bytes(data)
        read_file = lambda: list(stream_text_file(path, find_text_columns(path, TASK)[0], False))  # noqa: E731
        found = value_or_user_error(read_file)
        if found is not None:
            chunks = [chunk.examples for chunk in found]
            assert all(isinstance(text, str) for chunk in chunks for text in chunk.first)
            with_labels = read(folder, TASK, f"train{path.suffix}", data)
            if with_labels is not None:
                assert [text for chunk in chunks for text in chunk.first] == with_labels.first


class TestPredictions:
    @mutation_settings
    @given(mutated(b"index\tprediction\n0\t1\n1\t0\n2\t1\n"))
    def test_classes(self, folder: Path, data: bytes) -> None:
        self.check(folder, "cola", data)

    @mutation_settings
    @given(mutated(b"index\tprediction\n0\t1.250\n1\t0\n2\t5.000\n"))
    def test_scores(self, folder: Path, data: bytes) -> None:
        self.check(folder, "sts-b", data)

    def check(self, folder: Path, task: str, data: bytes) -> None:
        path = folder / "predictions.tsv"
        path.write_bytes(data)
        predictions = value_or_user_error(lambda: read_predictions(path, TASKS[task]))
        if predictions is not None:
            lines = [line.split("\t") for line in lines_of(data)[1:]]
            assert [index for index, _ in lines] == [str(index) for index in range(len(predictions))]
            assert np.array_equal(predictions, [float(value) for _, value in lines])

    @mutation_settings
    @given(mutated(b"index\tprediction\n" + b"".join(b"%d\t%d\n" % (row, row % 2) for row in range(146))))
    def test_faults(self, data: bytes) -> None:
        faults = find_prediction_faults("WNLI.tsv", io.BytesIO(data), TASKS["wnli"])
        assert all(len(line) < 500 for line in faults.lines())
        rows = data.removesuffix(b"\n").split(b"\n")
        is_right = (
            len(rows) == 147
            and rows[0] == b"index\tprediction"
            and all(row in (b"%d\t0" % index, b"%d\t1" % index) for index, row in enumerate(rows[1:]))
        )
        assert (faults.count == 0) == is_right


def submission() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("WNLI.tsv", "index\tprediction\n" + "".join(f"{row}\t1\n" for row in range(146)))
        archive.writestr("AX.tsv", "index\tprediction\n0\tneutral\n")
    return file.getvalue()


@mutation_settings
@given(mutated(submission()))
def test_submissions(folder: Path, data: bytes) -> None:
    path = folder / "submission.zip"
    path.write_bytes(data)
    faults = find_submission_faults(path)
    assert faults, "nine files are missing"
    assert all(len(line) < 400 for found in faults for line in found.lines())
