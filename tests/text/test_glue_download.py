"""Tests of `bash run.sh download` with small archives and a server on this machine."""

import dataclasses
import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from power_bert import cli
from power_bert.errors import UserError
from power_bert.text.examples import read_examples
from power_bert.text.glue_archives import ARCHIVES, assemble_mrpc
from power_bert.text.glue_download import download_glue
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import SPLITS
from power_bert.text.transfer_progress import transfer_bars

if TYPE_CHECKING:
    from tests.text.conftest import FileServer

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


def make_zip(members: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("CoLA/", "")
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.fixture(autouse=True)
def small_official_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own archives count as the official ones."""
    rows = {"cola": (2, 1, 1), "mrpc": (2, 1, 2), "mnli-m": (1, 1, 1), "mnli-mm": (1, 1, 1)}
    for name, counts in rows.items():
        task = dataclasses.replace(TASKS[name], rows=dict(zip(SPLITS, counts, strict=True)))
        monkeypatch.setitem(TASKS, name, task)
    monkeypatch.setitem(TASKS, "ax", dataclasses.replace(TASKS["ax"], rows={"test": 1}))


@dataclasses.dataclass
class Caller:
    """Calls `download_glue`; `said` is what the user saw."""

    folder: Path
    mirror: str
    said: list[str] = dataclasses.field(default_factory=list)

    def __call__(self, *names: str) -> None:
        self.said.clear()
        download_glue(names, self.folder, self.said.append, lambda name: lambda done, total: None, self.mirror)

    @property
    def left(self) -> list[str]:
        """All files and empty folders in the data folder."""
        found = self.folder.rglob("*") if self.folder.exists() else []
        return sorted(str(path.relative_to(self.folder)) for path in found if path.is_file())


@pytest.fixture
def download(server: "FileServer", tmp_path: Path) -> Caller:
    return Caller(tmp_path / "glue_data", server.url)


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
        labelled, unlabelled = f"{pair}\tgold_label\na\tb\tneutral\n", f"index\t{pair}\n0\ta\tb\n"
        members = {"MNLI/train.tsv": labelled}
        for section in ("matched", "mismatched"):
            members |= {f"MNLI/dev_{section}.tsv": labelled, f"MNLI/test_{section}.tsv": unlabelled}
        server.files |= {"MNLI.zip": make_zip(members), "AX.tsv": unlabelled.encode()}
        download("ax", "mnli-mm", "mnli-m")
        assert [name for name, _ in server.asked] == ["MNLI.zip", "AX.tsv"]
        assert read_examples(TASKS["mnli-mm"], "test", download.folder).first == ["a"]
        assert read_examples(TASKS["ax"], "test", download.folder).second == ["b"]

    def test_all_is_every_task(self, download: Caller) -> None:
        assert {task.name for archive in ARCHIVES for task in archive.tasks} == set(TASKS)
        with pytest.raises(UserError) as caught:
            download("all")
        for archive in ARCHIVES:
            assert all(url in str(caught.value) for url in archive.urls)

    def test_an_interrupted_download_goes_on(self, server: "FileServer", download: Caller) -> None:
        server.files["CoLA.zip"] = make_zip(COLA)
        part = download.folder / "downloads" / "CoLA.zip.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(server.files["CoLA.zip"][:100])
        download("cola")
        assert server.asked == [("CoLA.zip", "bytes=100-")]
        assert "CoLA/train.tsv" in download.left

    def test_a_file_put_there_by_hand_needs_no_network(self, download: Caller) -> None:
        download.mirror = "http://127.0.0.1:9"
        archive = download.folder / "downloads" / "CoLA.zip"
        archive.parent.mkdir(parents=True)
        archive.write_bytes(make_zip(COLA))
        download("cola")
        assert "CoLA/train.tsv" in download.left

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


DAMAGES: dict[Callable[[bytes], bytes], str] = {
    cut_off: "not a whole zip archive",
    changed: "not a whole zip archive",
    outside: "lies outside of the archive",
    shorter: "1 train rows for cola, expected 2",
    incomplete: r"dev\.tsv: no such file",
    lambda data: b"<html>Please log in</html>": "not a whole zip archive",
}


class TestDamage:
    @pytest.mark.parametrize(("damage", "message"), DAMAGES.items(), ids=[d.__name__ for d in DAMAGES])
    def test_a_damaged_archive_is_named_and_leaves_nothing(
        self, damage: Callable[[bytes], bytes], message: str, server: "FileServer", download: Caller
    ) -> None:
        server.files["CoLA.zip"] = damage(make_zip(COLA))
        with pytest.raises(UserError, match=rf"downloads/CoLA\.zip: .*{message}.*nothing was unpacked"):
            download("cola")
        assert download.left == [] and not (download.folder / "CoLA").exists()
        assert not (download.folder.parent / "evil.tsv").exists()
        assert len(server.asked) == 2

    @pytest.mark.parametrize("damage", [cut_off, changed, shorter])
    def test_a_damaged_file_is_fetched_anew(
        self, damage: Callable[[bytes], bytes], server: "FileServer", download: Caller
    ) -> None:
        server.files["CoLA.zip"] = make_zip(COLA)
        archive = download.folder / "downloads" / "CoLA.zip"
        archive.parent.mkdir(parents=True)
        archive.write_bytes(damage(make_zip(COLA)))
        download("cola")
        assert "CoLA/train.tsv" in download.left
        assert "CoLA.zip" in download.said[0] and "deleted, to fetch it anew" in download.said[0]

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


def test_the_command(
    server: "FileServer", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    monkeypatch.setattr("power_bert.text.transfer_progress._SECONDS_BETWEEN_LINES", -1.0)
    for is_terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=120)
        with transfer_bars(console) as start:
            show = start("MNLI.zip")
            show(0, None)
            show(150_000_000, 312_000_000)
        output = console.file.getvalue()  # type: ignore[attr-defined]
        assert "MNLI.zip" in output
        assert ("150.0 of 312.0 MB" in output) is not is_terminal
