"""Tests of the labeled sets beside GLUE: their rows in the task table and the forms in which they are published."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from mutations import mutated, mutation_settings
from power_bert.errors import UserError
from power_bert.glue.glue_download import download_glue
from power_bert.text.examples import data_fingerprint, has_split, read_examples
from power_bert.text.glue_tasks import get_task
from power_bert.text.labeled_sets import LABELED_TASKS, SAMPLE
from power_bert.text.labeled_sources import PUBLISHED_ROWS
from power_bert.text.newsgroups import _read_archive
from power_bert.text.sample.sample_sentences import write_sample
from power_bert.text.task import SPLITS, Split, Task

HEADER = "From: a@b.c (A. Person)\nSubject: question\nOrganization: none\n\n"


PUBLISHED = {name: task for name, task in LABELED_TASKS.items() if name != SAMPLE}


@pytest.mark.parametrize("task", PUBLISHED.values(), ids=list(PUBLISHED))
def test_row_is_consistent(task: Task) -> None:
    assert get_task(task.name) is task and task.metrics == ("accuracy", "macro_f1")
    assert task.labels is not None and len(set(task.labels)) == len(task.labels)
    assert not task.is_pair and task.test_layout.label_column == task.train_layout.label_column


def test_numbers_of_classes() -> None:
    assert {name: task.num_outputs for name, task in PUBLISHED.items()} == {
        "emotion": 6,
        "massive": 60,
        "20newsgroups": 20,
    }


def test_the_generated_sample_is_read_as_cola_is_and_has_another_name(tmp_path: Path) -> None:
    task, cola = get_task(SAMPLE), get_task("cola")
    assert (task.train_layout, task.test_layout, task.labels) == (cola.train_layout, cola.test_layout, cola.labels)
    assert task.metrics == cola.metrics and task.family != cola.family and not task.rows
    write_sample(tmp_path / "sample", train_size=3, dev_size=2, test_size=2)
    sizes = [len(read_examples(task, split, tmp_path / "sample")) for split in ("train", "dev", "test")]
    assert sizes == [3, 2, 2]


class TestEmotion:
    task = LABELED_TASKS["emotion"]

    def test_text_files(self, tmp_path: Path) -> None:
        (tmp_path / "train.txt").write_text("i feel fine;joy\none; two;anger\n;love", encoding="utf-8")
        (tmp_path / "val.txt").write_text("oh no;fear\n", encoding="utf-8")
        train = read_examples(self.task, "train", tmp_path)
        assert train.first == ["i feel fine", "one; two", ""] and train.labels is not None
        assert train.labels.tolist() == [1, 3, 2]
        assert read_examples(self.task, "dev", tmp_path).first == ["oh no"]
        assert not has_split(self.task, "test", tmp_path)

    def test_json_lines(self, tmp_path: Path) -> None:
        (tmp_path / "validation.jsonl").write_text('{"text": "oh no", "label": "fear"}\n', encoding="utf-8")
        assert read_examples(self.task, "dev", tmp_path).labels == np.array([4])

    @pytest.mark.parametrize(
        ("line", "message"),
        [("no label here", r"train\.txt, line 2: expected 2 columns text;label, found 1"), ("x;rage", "unknown label")],
    )
    def test_bad_lines(self, line: str, message: str, tmp_path: Path) -> None:
        (tmp_path / "train.txt").write_text(f"fine;joy\n{line}\n", encoding="utf-8")
        with pytest.raises(UserError, match=message):
            read_examples(self.task, "train", tmp_path)


class TestMassive:
    task = LABELED_TASKS["massive"]

    def test_json_lines(self, tmp_path: Path) -> None:
        line = {"id": "1", "label": 48, "text": "wake me up", "label_text": "alarm_set"}
        (tmp_path / "train.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
        examples = read_examples(self.task, "train", tmp_path)
        assert examples.first == ["wake me up"] and examples.labels == np.array([48])

    rows = (("train", "alarm_set", "wake me up"), ("dev", "qa_maths", "2 + 2"), ("train", "play_music", "play"))
    lines = tuple(json.dumps({"partition": part, "intent": intent, "utt": text}) for part, intent, text in rows)

    @pytest.fixture(autouse=True)
    def few_rows_are_published(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(PUBLISHED_ROWS, "massive", {"train": 2, "dev": 1, "test": 1})

    def test_the_published_file_with_all_partitions(self, tmp_path: Path) -> None:
        (tmp_path / "en-US.jsonl").write_text("\n".join(self.lines) + "\n", encoding="utf-8")
        assert read_examples(self.task, "train", tmp_path).first == ["wake me up", "play"]
        assert read_examples(self.task, "dev", tmp_path).first == ["2 + 2"]
        assert list(data_fingerprint(self.task, tmp_path)) == ["en-US.jsonl"]
        with pytest.raises(UserError, match='no line with "partition": "test"'):
            read_examples(self.task, "test", tmp_path)

    def test_a_file_cut_off_at_the_end_of_a_line(self, tmp_path: Path) -> None:
        (tmp_path / "en-US.jsonl").write_text("\n".join(self.lines[:2]) + "\n", encoding="utf-8")
        with pytest.raises(UserError, match=r"en-US\.jsonl: 1 train rows, the published file has 2\. Fetch it again"):
            read_examples(self.task, "train", tmp_path)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"partition": "train", "utt": "play"}', "expected an object"),
            ('{"partition": "train", "utt": 5, "intent": "play_music"}', "expected an object"),
            ('["train"]', "expected an object"),
            ('{"partition": "tr', "not valid JSON"),
            ('{"partition": "train", "utt": "\\ud800", "intent": "play_music"}', "unpaired surrogate"),
        ],
    )
    def test_a_bad_line(self, line: str, message: str, tmp_path: Path) -> None:
        (tmp_path / "en-US.jsonl").write_text(f"{line}\n", encoding="utf-8")
        with pytest.raises(UserError, match=rf"en-US\.jsonl, line 1: .*{message}"):
            read_examples(self.task, "train", tmp_path)

    def test_mutations(self, tmp_path: Path) -> None:
        @mutation_settings
        @given(mutated("\n".join(self.lines).encode() + b"\n"))
        def check(data: bytes) -> None:
            (tmp_path / "en-US.jsonl").write_bytes(data)
            try:
                assert len(read_examples(self.task, "train", tmp_path)) == 2
            except UserError as error:
                assert "en-US.jsonl" in str(error)

        check()


@pytest.fixture
def newsgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty-one training documents of one group and one of another, two test documents, as if these were all."""
    monkeypatch.setitem(PUBLISHED_ROWS, "20newsgroups", {"train": 20, "dev": 2, "test": 2})
    archive = tmp_path / "20news-bydate.tar.gz"
    documents = {f"20news-bydate-train/sci.space/{number}": f"{HEADER}text {number}" for number in range(1, 22)}
    documents["20news-bydate-train/rec.autos/7"] = f"{HEADER}In article <1@b.c> b writes:\n> old\nnew caf\xe9\n\n--\nA."
    documents["20news-bydate-test/sci.space/99"] = f"{HEADER}far away".replace("\n", "\t")  # as in some copies
    documents["20news-bydate-test/rec.autos/100"] = HEADER
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in documents.items():
            info = tarfile.TarInfo(name)
            content = text.encode("latin-1")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive


class TestNewsgroups:
    task = LABELED_TASKS["20newsgroups"]

    def test_splits(self, newsgroups: Path) -> None:
        train, dev, test = (read_examples(self.task, split, newsgroups) for split in ("train", "dev", "test"))
        assert dev.first == ["text 10", "text 20"] and len(train) == 20
        assert train.first[1:4] == ["text 1", "text 2", "text 3"]
        assert test.first == ["", "far away"] and test.labels is not None
        assert [self.task.labels[label] for label in test.labels] == ["rec.autos", "sci.space"]  # type: ignore[index]

    def test_headers_quotes_and_signatures_are_gone(self, newsgroups: Path) -> None:
        assert read_examples(self.task, "train", newsgroups).first[0].strip() == "new café"

    @pytest.mark.parametrize("place", ["", "20newsgroups"])
    def test_the_archive_lies_in_the_folder(self, place: str, newsgroups: Path) -> None:
        folder = newsgroups.parent
        if place:
            (folder / place).mkdir()
            newsgroups.rename(folder / place / newsgroups.name)
        assert len(read_examples(self.task, "test", folder)) == 2
        assert list(data_fingerprint(self.task, folder)) == ["20news-bydate.tar.gz"]

    def test_a_damaged_archive(self, newsgroups: Path) -> None:
        newsgroups.write_bytes(newsgroups.read_bytes()[:300])
        with pytest.raises(UserError, match=r"tar\.gz: damaged, .*Fetch it again: bash run\.sh download 20newsgroups"):
            read_examples(self.task, "train", newsgroups)

    @pytest.mark.parametrize("split", SPLITS)
    def test_damage_anywhere_is_noticed_in_every_split(self, split: Split, newsgroups: Path) -> None:
        data = newsgroups.read_bytes()
        for damaged in (
            data[:-1],
            data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :],
            data[: len(data) - 20] + bytes([data[-20] ^ 1]) + data[-19:],
        ):
            newsgroups.write_bytes(damaged)
            with pytest.raises(UserError, match="damaged"):
                read_examples(self.task, split, newsgroups)

    def test_a_whole_archive_with_fewer_documents(self, newsgroups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(PUBLISHED_ROWS, "20newsgroups", {"train": 20, "dev": 2, "test": 7532})
        assert len(read_examples(self.task, "train", newsgroups)) == 20
        with pytest.raises(
            UserError, match=r"2 test rows, the published file has 7,532\. Fetch it again; a part of it"
        ):
            read_examples(self.task, "test", newsgroups)

    def test_mutations(self, newsgroups: Path) -> None:
        expected = read_examples(self.task, "test", newsgroups)

        @mutation_settings
        @given(mutated(newsgroups.read_bytes()))
        def check(data: bytes) -> None:
            newsgroups.write_bytes(data)
            _read_archive.cache_clear()  # two files of one moment look the same to it
            try:
                found = read_examples(self.task, "test", newsgroups)
            except UserError as error:
                assert str(newsgroups) in str(error) and len(str(error)) < 600
            else:
                assert found.first == expected.first and found.labels.tolist() == expected.labels.tolist()

        check()

    def test_the_published_numbers_are_those_of_the_task(self) -> None:
        assert PUBLISHED_ROWS["20newsgroups"] == self.task.rows

    def test_another_archive(self, tmp_path: Path) -> None:
        archive = tmp_path / "20news-bydate.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("something/else"))
        with pytest.raises(UserError, match="no documents like"):
            read_examples(self.task, "dev", archive)

    @pytest.mark.parametrize("name", ["emotion", "massive", "20newsgroups"])
    def test_nothing_there(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=rf"bash run\.sh download {name}"):
            read_examples(LABELED_TASKS[name], "train", tmp_path)

    def test_download_explains_a_missing_network(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"download these\s+files on another machine(.|\n)*20news-bydate\.tar\.gz"):
            download_glue(
                ["20newsgroups"], tmp_path, lambda line: None, lambda name: lambda *_: None, "http://127.0.0.1:9"
            )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place", "rows"),
    [
        ("emotion", "emotion", (16000, 2000, 2000)),
        ("massive", "massive_en-US", (11514, 2033, 2974)),
        ("20newsgroups", "20news-bydate.tar.gz", (10191, 1123, 7532)),
    ],
)
def test_real_data(name: str, place: str, rows: tuple[int, int, int], shared_data: Path) -> None:
    for split, expected in zip(("train", "dev", "test"), rows, strict=True):
        examples = read_examples(LABELED_TASKS[name], split, shared_data / place)  # type: ignore[arg-type]
        assert len(examples) == expected and examples.labels is not None
        assert np.mean([bool(text.strip()) for text in examples.first]) > 0.95
