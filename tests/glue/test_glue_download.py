"""Tests of `bash run.sh download` with small archives and a server on this machine."""

import contextlib
import dataclasses
import hashlib
import io
import json
import re
import shutil
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import given
from rich.console import Console

from mutations import mutated, mutation_settings
from power_bert import cli
from power_bert.errors import UserError
from power_bert.glue.glue_archives import (
    ARCHIVES,
    EMOTION_TEXTS,
    LABELED_ARCHIVES,
    PUBLISHED,
    assemble_mrpc,
    extract_english,
    restore_emotion_texts,
    unpack_zip,
)
from power_bert.glue.glue_download import download_glue
from power_bert.storage.transfer_progress import transfer_bars
from power_bert.text.examples import read_examples
from power_bert.text.glue_tasks import TASKS
from power_bert.text.labeled_sets import LABELED_TASKS, SAMPLE
from power_bert.text.labeled_sources import PUBLISHED_ROWS
from power_bert.text.task import SPLITS

if TYPE_CHECKING:
    from fixtures.file_server import FileServer

TRAIN, DEV = "a\t1\t\tIt rained.\na\t0\t*\tRained it.\n", "a\t1\t\tIt rained.\n"
COLA = {
    "CoLA/train.tsv": TRAIN,
    "CoLA/dev.tsv": DEV,
    "CoLA/test.tsv": "index\tsentence\n0\tIt rained.\n",
    "CoLA/README.txt": "notes",
    "CoLA/original/raw.tsv": "raw",
    "__MACOSX/._train.tsv": "junk",
}
MRPC_TRAIN = (
    "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
    '1\t10\t11\tHe said "no\tNo.\r\n0\t20\t21\ta\tb\r\n1\t21\t20\tc\td\r\n'
)
MRPC_TEST = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t30\t31\te\tf\r\n0\t40\t41\tg\th\r\n"

# Table of emotion -> the authors' file, and its content with the class numbers of the table.
EMOTION = {
    "emotion-train.parquet": ("train.txt", ("i feel; fine;joy\nso sad;sadness\n", [1, 0])),
    "emotion-validation.parquet": ("val.txt", ("oh no;fear\n", [4])),
    "emotion-test.parquet": ("test.txt", ("what;surprise\n", [5])),
}
MASSIVE_FILE = "amazon-massive-dataset-1.1.tar.gz"
MASSIVE_ROWS = (
    ("train", "alarm_set", "wake me up"),
    ("dev", "qa_maths", "2 + 2"),
    ("test", "play_music", "play"),
    ("train", "play_music", "sing"),
)
MASSIVE = "".join(
    json.dumps({"partition": part, "intent": intent, "utt": text}) + "\n" for part, intent, text in MASSIVE_ROWS
)


def make_table(text: str, labels: list[int]) -> bytes:
    texts = [line.rpartition(";")[0] for line in text.splitlines()]
    data = io.BytesIO()
    pd.DataFrame({"text": texts, "label": labels}).to_parquet(data, index=False)
    return data.getvalue()


def emotion_tables() -> dict[str, bytes]:
    return {name: make_table(*content) for name, (_, content) in EMOTION.items()}


def make_tar_gz(members: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content.encode())
            archive.addfile(entry, io.BytesIO(content.encode()))
    return data.getvalue()


def massive_archive(english: str = MASSIVE) -> bytes:
    return make_tar_gz({"1.1/LICENSE": "CC BY 4.0", "1.1/data/de-DE.jsonl": "{}\n", "1.1/data/en-US.jsonl": english})


def make_zip(members: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("CoLA/"), "")
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980: the same bytes whenever it is made
    return data.getvalue()


@pytest.fixture(autouse=True)
def small_official_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own archives count as the official ones."""
    rows = {"cola": (2, 1, 1), "mrpc": (2, 1, 2), "mnli-m": (1, 1, 1), "mnli-mm": (1, 1, 1)}
    for name, counts in rows.items():
        task = dataclasses.replace(TASKS[name], rows=dict(zip(SPLITS, counts, strict=True)))
        monkeypatch.setitem(TASKS, name, task)
    monkeypatch.setitem(TASKS, "ax", dataclasses.replace(TASKS["ax"], rows={"test": 1}))
    for name, counts in {"emotion": (2, 1, 1), "massive": (2, 1, 1)}.items():
        task = dataclasses.replace(LABELED_TASKS[name], rows=dict(zip(SPLITS, counts, strict=True)))
        monkeypatch.setitem(LABELED_TASKS, name, task)
    monkeypatch.setitem(PUBLISHED_ROWS, "massive", LABELED_TASKS["massive"].rows)
    for text_file, (text, _) in EMOTION.values():
        monkeypatch.setitem(EMOTION_TEXTS, text_file, hashlib.sha256(text.encode()).hexdigest())


@dataclasses.dataclass
class Caller:
    """Calls `download_glue`; `said` is what the user saw. What the server has at first is what is published."""

    folder: Path
    mirror: str | None
    monkeypatch: pytest.MonkeyPatch
    said: list[str] = dataclasses.field(default_factory=list)

    def __call__(self, *names: str) -> None:
        self.said.clear()
        download_glue(names, self.folder, self.said.append, lambda name: lambda done, total: None, self.mirror)

    def publish(self, **files: bytes) -> None:
        """Make contents the published ones; `_` in a name stands for the dot of its ending."""
        for name, content in files.items():
            stem, _, ending = name.rpartition("_")
            published = PUBLISHED[f"{stem}.{ending}"]
            changed = dataclasses.replace(published, max_bytes=10**6, sha256=hashlib.sha256(content).hexdigest())
            self.monkeypatch.setitem(PUBLISHED, f"{stem}.{ending}", changed)

    def put_by_hand(self, name: str, content: bytes) -> None:
        """Put a file where downloads lie."""
        path = self.folder / "downloads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    @property
    def left(self) -> list[str]:
        """All files and empty folders in the data folder."""
        found = self.folder.rglob("*") if self.folder.exists() else []
        return sorted(str(path.relative_to(self.folder)) for path in found if path.is_file())


@pytest.fixture
def download(server: "FileServer", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """The archives of these tests are the published ones."""
    caller = Caller(tmp_path / "glue_data", server.url, monkeypatch)
    caller.publish(CoLA_zip=make_zip(COLA))
    return caller


class TestDownload:
    def test_a_data_set_can_be_read(self, server: "FileServer", download: Caller) -> None:
        server.files["CoLA.zip"] = make_zip(COLA)
        download("cola")
        assert download.left == ["CoLA/README.txt", "CoLA/dev.tsv", "CoLA/test.tsv", "CoLA/train.tsv"]
        assert read_examples(TASKS["cola"], "train", download.folder).first == ["It rained.", "Rained it."]
        assert download.said[-1].endswith("CoLA: 2 train, 1 dev, 1 test rows")

    def test_what_is_complete_is_not_fetched_again(self, server: "FileServer", download: Caller) -> None:
        server.files["CoLA.zip"] = make_zip(COLA)
        download("cola")
        server.files.clear()
        download("cola")
        assert len(server.asked) == 1 and "is complete" in download.said[0]

    def test_several_tasks_and_one_folder_of_two(self, server: "FileServer", download: Caller) -> None:
        pair = "sentence1\tsentence2"
        labeled, unlabeled = f"{pair}\tgold_label\na\tb\tneutral\n", f"index\t{pair}\n0\ta\tb\n"
        members = {"MNLI/train.tsv": labeled}
        for section in ("matched", "mismatched"):
            members |= {f"MNLI/dev_{section}.tsv": labeled, f"MNLI/test_{section}.tsv": unlabeled}
        server.files |= {"MNLI.zip": make_zip(members), "AX.tsv": unlabeled.encode()}
        download.publish(MNLI_zip=make_zip(members), AX_tsv=unlabeled.encode())
        download("ax", "mnli-mm", "mnli-m")
        assert [name for name, _ in server.asked] == ["MNLI.zip", "AX.tsv"]
        assert read_examples(TASKS["mnli-mm"], "test", download.folder).first == ["a"]
        assert read_examples(TASKS["ax"], "test", download.folder).second == ["b"]

    def test_all_is_every_task(self, download: Caller) -> None:
        assert {task.name for archive in ARCHIVES for task in archive.tasks} == set(TASKS)
        with pytest.raises(UserError) as caught:
            download("all")
        for archive in ARCHIVES:
            assert all(url in str(caught.value) for name in archive.files for url in PUBLISHED[name].urls)

    def test_an_interrupted_download_goes_on(self, server: "FileServer", download: Caller) -> None:
        server.files["CoLA.zip"] = make_zip(COLA)
        download.put_by_hand("CoLA.zip.part", server.files["CoLA.zip"][:100])
        download("cola")
        assert server.asked == [("CoLA.zip", "bytes=100-")]
        assert "CoLA/train.tsv" in download.left

    def test_a_file_put_there_by_hand_needs_no_network(self, download: Caller) -> None:
        download.mirror = "http://127.0.0.1:9"
        download.put_by_hand("CoLA.zip", make_zip(COLA))
        download("cola")
        assert download.left == ["CoLA/README.txt", "CoLA/dev.tsv", "CoLA/test.tsv", "CoLA/train.tsv"]
        assert len(download.said) == 1

    def test_a_file_put_there_by_hand_that_was_packed_anew_counts_by_its_rows(self, download: Caller) -> None:
        download.mirror = "http://127.0.0.1:9"
        download.put_by_hand("CoLA.zip", make_zip({**COLA, "CoLA/README.txt": "other notes"}))
        download("cola")
        assert "CoLA/train.tsv" in download.left
        assert download.said[0].endswith("taken if it has the official rows") and "sha256" in download.said[0]

    def test_the_next_address_is_asked(self, server: "FileServer", download: Caller) -> None:
        content = make_zip(COLA)
        server.files |= {"bad": content[:-1] + b"!", "good": content}
        addresses = tuple(f"{server.url}/{name}" for name in ("absent", "bad", "good"))
        changed = dataclasses.replace(PUBLISHED["CoLA.zip"], urls=addresses)
        download.monkeypatch.setitem(PUBLISHED, "CoLA.zip", changed)
        download.mirror = None
        download("cola")
        assert [name for name, _ in server.asked] == ["absent", "bad", "good"]
        assert "CoLA/train.tsv" in download.left
        assert "404" in download.said[1] and "not the published CoLA.zip" in download.said[3]

    def test_an_unknown_task(self, download: Caller) -> None:
        with pytest.raises(UserError, match=r"Unknown task 'sst2'\. Did you mean 'sst-2'"):
            download("cola", "sst2")
        assert download.left == []


class TestMrpc:
    def test_glue_s_three_files(self, server: "FileServer", download: Caller) -> None:
        server.files |= {
            "msr_paraphrase_train.txt": MRPC_TRAIN.encode(),
            "msr_paraphrase_test.txt": MRPC_TEST.encode(),
            "mrpc_dev_ids.tsv": b"20\t21\n",
        }
        download.publish(**{name.replace(".", "_"): content for name, content in server.files.items()})
        download("mrpc")
        folder = download.folder / "MRPC"
        header = "#1 ID\t#2 ID\t#1 String\t#2 String\n"
        assert (folder / "train.tsv").read_text() == f'Quality\t{header}1\t10\t11\tHe said "no\tNo.\n1\t21\t20\tc\td\n'
        assert (folder / "dev.tsv").read_text() == f"Quality\t{header}0\t20\t21\ta\tb\n"
        assert (folder / "test.tsv").read_text() == f"index\t{header}0\t30\t31\te\tf\n1\t40\t41\tg\th\n"
        assert download.left == ["MRPC/dev.tsv", "MRPC/test.tsv", "MRPC/train.tsv"]

    def test_the_official_files_come_out_of_the_corpus(self, shared_data: Path, tmp_path: Path) -> None:
        official = {split: (shared_data / "glue" / "MRPC" / f"{split}.tsv").read_text("utf-8-sig") for split in SPLITS}
        rows = {split: text.splitlines(keepends=True) for split, text in official.items()}
        header = rows["train"][0]
        corpus = {
            "train": [header, *rows["dev"][1:], *rows["train"][1:]],
            "test": [header, *rows["test"][1:]],
            "ids": ["\t".join(row.split("\t")[1:3]) + "\n" for row in rows["dev"][1:]],
        }
        for name, lines in corpus.items():
            (tmp_path / name).write_text("\ufeff" + "".join(lines), encoding="utf-8", newline="")
        assemble_mrpc([tmp_path / "train", tmp_path / "test", tmp_path / "ids"], tmp_path)
        for split in SPLITS:
            assert (tmp_path / f"{split}.tsv").read_text(encoding="utf-8").rstrip("\n") == official[split].rstrip("\n")


class TestEmotion:
    @pytest.fixture(autouse=True)
    def published(self, download: Caller) -> None:
        download.publish(**{name.replace(".", "_"): content for name, content in emotion_tables().items()})

    def test_the_authors_files(self, server: "FileServer", download: Caller) -> None:
        server.files |= emotion_tables()
        download("emotion")
        for text_file, (text, _) in EMOTION.values():
            assert (download.folder / "emotion" / text_file).read_bytes() == text.encode()
        assert download.left == ["emotion/test.txt", "emotion/train.txt", "emotion/val.txt"]
        assert read_examples(LABELED_TASKS["emotion"], "train", download.folder).first == ["i feel; fine", "so sad"]

    def test_an_interrupted_download_goes_on(self, server: "FileServer", download: Caller) -> None:
        server.files |= emotion_tables()
        download.put_by_hand("emotion-train.parquet.part", server.files["emotion-train.parquet"][:50])
        download("emotion")
        assert server.asked[0] == ("emotion-train.parquet", "bytes=50-")
        assert "emotion/train.txt" in download.left

    def test_what_a_server_sends_has_the_published_sha256(self, server: "FileServer", download: Caller) -> None:
        server.files |= emotion_tables() | {"emotion-test.parquet": make_table("what;joy\n", [1])}
        with pytest.raises(
            UserError, match=r"not the published emotion-test\.parquet(.|\n)*emotion-test\.parquet: http"
        ):
            download("emotion")
        assert not (download.folder / "emotion").exists()

    def test_tables_written_anew_count_by_the_sha256_of_their_texts(self, download: Caller) -> None:
        download.mirror = "http://127.0.0.1:9"
        for name, (_, (text, labels)) in EMOTION.items():
            data = io.BytesIO()
            rows = {"label": labels, "text": [line.rpartition(";")[0] for line in text.splitlines()]}
            pd.DataFrame(rows).to_parquet(data, index=False)
            assert data.getvalue() != emotion_tables()[name]
            download.put_by_hand(name, data.getvalue())
        download("emotion")
        assert download.left == ["emotion/test.txt", "emotion/train.txt", "emotion/val.txt"]

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (make_table("i feel; fine;joy\nso sad;fear\n", [1, 4]), r"its rows are not the authors' train\.txt"),
            (make_table("i feel; fine;joy\nso sad;rage\n", [1, 6]), "damaged, or not a Parquet table"),
            (emotion_tables()["emotion-train.parquet"][:300], "damaged, or not a Parquet table"),
            (b"<html>Please log in</html>", "damaged, or not a Parquet table"),
        ],
        ids=["other rows", "unknown class", "cut off", "no table"],
    )
    def test_a_wrong_table_is_set_aside_and_another_one_fetched(
        self, table: bytes, message: str, server: "FileServer", download: Caller
    ) -> None:
        server.files |= emotion_tables()
        download.put_by_hand("emotion-train.parquet", table)
        download("emotion")
        assert any(re.search(message, line) and "Nothing was unpacked" in line for line in download.said)
        assert [name for name, _ in server.asked][-1] == "emotion-train.parquet"
        assert sum("refused" in name for name in download.left) == 1 and "emotion/train.txt" in download.left

    def test_mutated_tables(self, tmp_path: Path) -> None:
        for name, content in emotion_tables().items():
            (tmp_path / name).write_bytes(content)

        @mutation_settings
        @given(mutated(emotion_tables()["emotion-train.parquet"]))
        def check(data: bytes) -> None:
            (tmp_path / "emotion-train.parquet").write_bytes(data)
            try:
                restore_emotion_texts([tmp_path / name for name in EMOTION], tmp_path)
                assert (tmp_path / "train.txt").read_text() == EMOTION["emotion-train.parquet"][1][0]
            except UserError as error:
                assert "emotion-train.parquet" in str(error) and len(str(error)) < 600

        check()


def test_the_authors_files_of_emotion_come_out_of_tables(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = LABELED_TASKS["emotion"].labels or ()
    for name, (text_file, _) in EMOTION.items():
        text = (shared_data / "emotion" / text_file).read_text(encoding="utf-8")
        labels = [names.index(line.rpartition(";")[2]) for line in text.splitlines()]
        (tmp_path / name).write_bytes(make_table(text, labels))
    monkeypatch.undo()  # the real sha256
    restore_emotion_texts([tmp_path / name for name in EMOTION], tmp_path)
    for text_file in EMOTION_TEXTS:
        assert (tmp_path / text_file).read_bytes() == (shared_data / "emotion" / text_file).read_bytes()


class TestMassive:
    @pytest.fixture(autouse=True)
    def published(self, download: Caller) -> None:
        download.publish(**{"amazon-massive-dataset-1.1.tar_gz": massive_archive()})

    def test_only_english_is_kept(self, server: "FileServer", download: Caller) -> None:
        server.files[MASSIVE_FILE] = massive_archive()
        download("massive")
        assert download.left == ["massive_en-US/en-US.jsonl"]
        assert (download.folder / "massive_en-US" / "en-US.jsonl").read_text() == MASSIVE
        assert read_examples(LABELED_TASKS["massive"], "train", download.folder).first == ["wake me up", "sing"]

    def test_an_interrupted_download_goes_on(self, server: "FileServer", download: Caller) -> None:
        server.files[MASSIVE_FILE] = massive_archive()
        download.put_by_hand(f"{MASSIVE_FILE}.part", massive_archive()[:100])
        download("massive")
        assert server.asked == [(MASSIVE_FILE, "bytes=100-")]

    def test_an_archive_packed_anew_needs_no_network(self, download: Caller) -> None:
        download.mirror = "http://127.0.0.1:9"
        download.put_by_hand(MASSIVE_FILE, make_tar_gz({"./1.1/data/en-US.jsonl": MASSIVE}))
        download("massive")
        assert download.left == ["massive_en-US/en-US.jsonl"]

    @pytest.mark.parametrize(
        ("archive", "message"),
        [
            (make_tar_gz({"1.1/data/de-DE.jsonl": MASSIVE}), r"no file 1\.1/data/en-US\.jsonl"),
            (massive_archive()[:-9], "not a whole tar.gz archive"),
            (massive_archive(MASSIVE[: MASSIVE.rindex("{")]), "1 train rows"),
            (b"<html>Please log in</html>", "not a whole tar.gz archive"),
        ],
        ids=["no English", "cut off", "a row less", "no archive"],
    )
    def test_a_wrong_archive_is_set_aside(self, archive: bytes, message: str, download: Caller) -> None:
        download.put_by_hand(MASSIVE_FILE, archive)
        with pytest.raises(UserError, match="answers 404"):
            download("massive")
        assert re.search(rf"{message}.*Nothing was unpacked", download.said[1])
        assert [name.partition("-")[0] for name in download.left] == ["downloads/amazon"]

    def test_what_a_server_sends_has_the_published_sha256(self, server: "FileServer", download: Caller) -> None:
        server.files[MASSIVE_FILE] = massive_archive(MASSIVE + "\n")
        with pytest.raises(UserError, match=r"not the published amazon-massive-dataset-1\.1\.tar\.gz"):
            download("massive")

    def test_mutated_archives(self, tmp_path: Path) -> None:
        archive, target = tmp_path / MASSIVE_FILE, tmp_path / "target"

        @mutation_settings
        @given(mutated(massive_archive()))
        def check(data: bytes) -> None:
            archive.write_bytes(data)
            target.mkdir()
            try:
                extract_english([archive], target)
                assert [path.name for path in target.iterdir()] == ["en-US.jsonl"]
            except UserError as error:
                assert str(archive) in str(error) and len(str(error)) < 600
            shutil.rmtree(target)

        check()


def test_every_labeled_set_can_be_fetched_but_the_generated_one(download: Caller) -> None:
    fetched = {task.name for archive in LABELED_ARCHIVES for task in archive.tasks}
    assert fetched == set(LABELED_TASKS) - {SAMPLE} and all(LABELED_TASKS[name].rows for name in fetched)
    with pytest.raises(UserError, match="acceptability-sample: nothing to fetch"):
        download(SAMPLE)


def cut_off(data: bytes) -> bytes:
    return data[: len(data) // 2]


def changed(data: bytes) -> bytes:
    """One bit of the compressed train.tsv."""
    position = data.index(b"CoLA/train.tsv") + len("CoLA/train.tsv") + 3
    return data[:position] + bytes([data[position] ^ 0x40]) + data[position + 1 :]


def outside(data: bytes) -> bytes:
    return make_zip({**COLA, "CoLA/../../evil.tsv": "x"})


def shorter(data: bytes) -> bytes:
    return make_zip({**COLA, "CoLA/train.tsv": DEV})


def incomplete(data: bytes) -> bytes:
    return make_zip({name: content for name, content in COLA.items() if "dev" not in name})


def encrypted(data: bytes) -> bytes:
    """The directory says that train.tsv needs a password."""
    position = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4) + 8
    return data[:position] + b"\x01" + data[position + 1 :]


def unknown_method(data: bytes) -> bytes:
    position = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4) + 10
    return data[:position] + b"\x63" + data[position + 1 :]


def link(data: bytes) -> bytes:
    content = io.BytesIO(data)
    with zipfile.ZipFile(content, "a") as archive:
        entry = zipfile.ZipInfo("CoLA/notes.txt")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return content.getvalue()


def binary_table(data: bytes) -> bytes:
    return make_zip({**COLA, "CoLA/train.tsv": "\x00\x00\x00\n"})


DAMAGES: dict[Callable[[bytes], bytes], str] = {
    cut_off: "not a whole zip archive",
    changed: "not a whole member of a zip archive",
    outside: "lies outside of the archive",
    shorter: "1 train rows for cola, expected 2",
    incomplete: r"dev\.tsv: no such file",
    encrypted: r"CoLA/train\.tsv: is encrypted",
    unknown_method: r"CoLA/train\.tsv: is packed by method 99",
    link: r"CoLA/notes\.txt: is a link",
    binary_table: "not the official data of CoLA",
    lambda data: b"<html>Please log in</html>": "not a whole zip archive",
}


class TestDamage:
    @pytest.mark.parametrize(("damage", "message"), DAMAGES.items(), ids=[d.__name__ for d in DAMAGES])
    def test_a_damaged_archive_is_set_aside_and_another_one_fetched(
        self, damage: Callable[[bytes], bytes], message: str, server: "FileServer", download: Caller
    ) -> None:
        bad, good = damage(make_zip(COLA)), make_zip(COLA)
        aside = f"CoLA.zip.refused-{hashlib.sha256(bad).hexdigest()[:8]}"
        download.put_by_hand("CoLA.zip", bad)
        with pytest.raises(UserError, match="answers 404"):
            download("cola")
        assert download.left == [f"downloads/{aside}"] and not (download.folder / "CoLA").exists()
        assert re.search(
            rf"downloads/CoLA\.zip.*{message}.*Nothing was unpacked; set aside as {aside}", download.said[1]
        )
        server.files["CoLA.zip"] = good
        download("cola")
        assert "CoLA/train.tsv" in download.left and f"downloads/{aside}" in download.left
        assert not (download.folder.parent / "evil.tsv").exists()

    @pytest.mark.parametrize(("damage", "message"), DAMAGES.items(), ids=[d.__name__ for d in DAMAGES])
    def test_what_a_server_sends_is_compared_before_it_is_unpacked(
        self, damage: Callable[[bytes], bytes], message: str, server: "FileServer", download: Caller
    ) -> None:
        server.files["CoLA.zip"] = damage(make_zip(COLA))
        with pytest.raises(UserError, match=r"CoLA\.zip: not the published CoLA\.zip(.|\n)*name another server"):
            download("cola")
        assert [name.partition("-")[0] for name in download.left] == ["downloads/CoLA.zip.refused"]
        server.files["CoLA.zip"] = make_zip(COLA)
        download("cola")
        assert "CoLA/train.tsv" in download.left

    def test_published_files_that_are_not_the_official_data(self, server: "FileServer", download: Caller) -> None:
        server.files["CoLA.zip"] = shorter(b"")
        download.publish(CoLA_zip=shorter(b""))
        with pytest.raises(
            UserError, match=r"expected 2\)\. Nothing was unpacked; set aside as .*\. Call again, or name"
        ):
            download("cola")
        assert len(server.asked) == 1

    def test_only_the_damaged_one_of_several_is_set_aside(self, server: "FileServer", download: Caller) -> None:
        server.files |= {
            "msr_paraphrase_train.txt": MRPC_TRAIN.encode(),
            "msr_paraphrase_test.txt": MRPC_TEST.encode(),
            "mrpc_dev_ids.tsv": b"20\t21\n",
        }
        download.publish(**{name.replace(".", "_"): content for name, content in server.files.items()})
        download.put_by_hand("msr_paraphrase_train.txt", b"\xff\xfe")
        download("mrpc")
        assert [name.partition("-")[0] for name in download.left if "downloads" in name] == [
            "downloads/msr_paraphrase_train.txt.refused"
        ]
        assert [name for name, _ in server.asked] == [
            "msr_paraphrase_test.txt",
            "mrpc_dev_ids.tsv",
            "msr_paraphrase_train.txt",
        ]

    def test_mutated_archives(self, tmp_path: Path) -> None:
        archive, target = tmp_path / "CoLA.zip", tmp_path / "target"
        expected = {name.removeprefix("CoLA/"): text for name, text in COLA.items()}

        @mutation_settings
        @given(mutated(make_zip(COLA)))
        def check(data: bytes) -> None:
            archive.write_bytes(data)
            target.mkdir()
            try:
                unpack_zip([archive], target)
                found = {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()}
                assert set(found.values()) <= set(expected.values())
            except UserError as error:
                assert str(archive) in str(error) and len(str(error)) < 600
            shutil.rmtree(target)

        check()

    @pytest.mark.parametrize("name", ["train", "test", "ids"])
    def test_mutated_files_of_mrpc(self, name: str, tmp_path: Path) -> None:
        contents = {"train": MRPC_TRAIN.encode(), "test": MRPC_TEST.encode(), "ids": b"20\t21\n"}
        for other, content in contents.items():
            (tmp_path / other).write_bytes(content)

        @mutation_settings
        @given(mutated(contents[name]))
        def check(data: bytes) -> None:
            (tmp_path / name).write_bytes(data)
            with contextlib.suppress(UserError):
                assemble_mrpc([tmp_path / other for other in contents], tmp_path)

        check()

    def test_files_of_the_user_stay(self, server: "FileServer", download: Caller) -> None:
        server.files["CoLA.zip"] = make_zip(COLA)
        (download.folder / "CoLA").mkdir(parents=True)
        (download.folder / "CoLA" / "train.tsv").write_text("mine")
        with pytest.raises(UserError, match=r"CoLA: is there, but it is not the official data .*Move it away"):
            download("cola")
        assert (download.folder / "CoLA" / "train.tsv").read_text() == "mine" and server.asked == []


class TestNetwork:
    def test_no_network_says_what_to_put_where(self, download: Caller) -> None:
        download.mirror = "http://127.0.0.1:9"
        with pytest.raises(UserError) as caught:
            download("cola", "mrpc")
        message = str(caught.value)
        for part in ("HTTPS_PROXY", str(download.folder / "downloads"), "glue/data/CoLA.zip", "mrpc_dev_ids.tsv"):
            assert part in message
        assert download.left == []

    def test_what_is_done_stays(self, server: "FileServer", download: Caller) -> None:
        server.files["CoLA.zip"] = make_zip(COLA)
        with pytest.raises(UserError, match=r"the server answers 404") as caught:
            download("cola", "rte")
        assert "CoLA/train.tsv" in download.left
        assert "RTE.zip" in str(caught.value) and "glue/data/CoLA.zip" not in str(caught.value)


def test_every_file_is_published_over_https_first() -> None:
    files = [name for archive in (*ARCHIVES, *LABELED_ARCHIVES) for name in archive.files]
    assert sorted(files) == sorted(PUBLISHED)
    for name, published in PUBLISHED.items():
        assert published.urls[0].startswith("https://") and re.fullmatch("[0-9a-f]{64}", published.sha256), name


@pytest.mark.slow
def test_the_newsgroups_are_the_archive_of_scikit_learn() -> None:
    from sklearn.datasets import _twenty_newsgroups

    published = PUBLISHED[_twenty_newsgroups.ARCHIVE.filename]
    assert published.sha256 == _twenty_newsgroups.ARCHIVE.checksum
    assert published.urls[0] == _twenty_newsgroups.ARCHIVE.url


def test_the_command(
    server: "FileServer",
    download: Caller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.files["CoLA.zip"] = make_zip(COLA)
    arguments = ["power-bert", "download", "cola", "--to", str(tmp_path / "glue"), "--mirror", server.url]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    output = capsys.readouterr().out
    assert not ended.value.code and "2 train, 1 dev, 1 test rows" in output
    assert (tmp_path / "glue" / "CoLA" / "dev.tsv").read_text() == DEV


def test_progress_on_a_terminal_and_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("power_bert.storage.transfer_progress._SECONDS_BETWEEN_LINES", -1.0)
    for is_terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=120)
        with transfer_bars(console) as start:
            show = start("MNLI.zip")
            show(0, None)
            show(150_000_000, 312_000_000)
        output = console.file.getvalue()  # type: ignore[attr-defined]
        assert "MNLI.zip" in output
        assert ("150.0 of 312.0 MB" in output) is not is_terminal
