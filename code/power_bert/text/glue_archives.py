"""What the servers hold: the files of each data set, and how they become a folder that the readers take."""

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from power_bert.errors import UserError
from power_bert.files import read_line_chunks, read_lines
from power_bert.text.glue_tasks import TASKS
from power_bert.text.labelled_sets import LABELLED_TASKS, NEWSGROUPS
from power_bert.text.newsgroups import ARCHIVE_URL
from power_bert.text.task import Task

_GLUE_URL = "https://dl.fbaipublicfiles.com/glue/data"
_SENTEVAL_URL = "https://dl.fbaipublicfiles.com/senteval/senteval_data"
# Tables, and licences and notes of the authors; not the raw data in further folders of an archive.
_ENDINGS = (".tsv", ".txt", ".md")


class DamagedArchive(UserError):
    """What was downloaded is not what it should be."""


@dataclass(frozen=True)
class Archive:
    """One data set on the server.

    Attributes:
        folder: Of its tasks, and inside its zip archive.
        urls: Its files.
        unpack: Fills the empty folder, given second, from the downloaded files, given first in the order of `urls`;
            raises DamagedArchive.
    """

    folder: str
    urls: tuple[str, ...]
    unpack: Callable[[list[Path], Path], None]

    @property
    def tasks(self) -> list[Task]:
        """The tasks whose files lie in the folder."""
        return [task for task in (TASKS | LABELLED_TASKS).values() if task.folder == self.folder]


def unpack_zip(files: list[Path], target: Path) -> None:
    """Unpacks the files of the top folder of a zip archive, which bears the name of the data set.

    Raises:
        DamagedArchive: The archive is cut off or changed (the checksum of each file is compared), names a place
            outside its folder, or has no tables.
    """
    (path,) = files
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = PurePosixPath(member.filename.replace("\\", "/"))
                if name.is_absolute() or ".." in name.parts:
                    raise DamagedArchive(f"{path}: holds {member.filename!r}, which lies outside of the archive")
                if len(name.parts) == 2 and name.suffix in _ENDINGS and not name.name.startswith("."):
                    with archive.open(member) as source, open(target / name.name, "wb") as file:
                        shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DamagedArchive(f"{path}: not a whole zip archive ({error})") from error


def assemble_mrpc(files: list[Path], target: Path) -> None:
    """Makes GLUE's three files of the Microsoft Research Paraphrase Corpus, which comes as two.

    Args:
        files: The training corpus, the test corpus, and the pairs of identifiers that are GLUE's dev set.
        target: Where train.tsv, dev.tsv and test.tsv are written.
    """
    train, test, dev_ids = files
    dev_pairs = {tuple(line.split("\t")[:2]) for line in read_lines(dev_ids)}
    header, *rows = _mrpc_rows(train)
    _write_rows(target / "train.tsv", [header, *(row for row in rows if (row[1], row[2]) not in dev_pairs)])
    _write_rows(target / "dev.tsv", [header, *(row for row in rows if (row[1], row[2]) in dev_pairs)])
    header, *rows = _mrpc_rows(test)
    numbered = ([str(index), *row[1:]] for index, row in enumerate(rows))
    _write_rows(target / "test.tsv", [["index", *header[1:]], *numbered])


def copy_diagnostic(files: list[Path], target: Path) -> None:
    """The diagnostic set is one table."""
    (path,) = files
    shutil.copyfile(path, target / "diagnostic.tsv")


def keep_archive(files: list[Path], target: Path) -> None:
    """The archive of the newsgroups is read as it is."""
    (path,) = files
    shutil.copyfile(path, target / path.name)


def _mrpc_rows(path: Path) -> Iterator[list[str]]:
    for lines in read_line_chunks(path):
        for line in lines:
            row = line.split("\t")
            if len(row) != 5:
                raise DamagedArchive(f"{path}: a line with {len(row)} columns, expected 5: {line[:60]!r}")
            yield row


def _write_rows(path: Path, rows: list[list[str]]) -> None:
    path.write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())


def _zip(folder: str, name: str) -> Archive:
    return Archive(folder, (f"{_GLUE_URL}/{name}",), unpack_zip)


ARCHIVES = (
    _zip("CoLA", "CoLA.zip"),
    _zip("SST-2", "SST-2.zip"),
    Archive(
        "MRPC",
        (
            f"{_SENTEVAL_URL}/msr_paraphrase_train.txt",
            f"{_SENTEVAL_URL}/msr_paraphrase_test.txt",
            f"{_GLUE_URL}/mrpc_dev_ids.tsv",
        ),
        assemble_mrpc,
    ),
    _zip("STS-B", "STS-B.zip"),
    _zip("QQP", "QQP-clean.zip"),
    _zip("MNLI", "MNLI.zip"),
    _zip("QNLI", "QNLIv2.zip"),
    _zip("RTE", "RTE.zip"),
    _zip("WNLI", "WNLI.zip"),
    Archive("AX", (f"{_GLUE_URL}/AX.tsv",), copy_diagnostic),
)

# Not of GLUE: fetched by its name alone.
NEWSGROUPS_ARCHIVE = Archive(NEWSGROUPS, (ARCHIVE_URL,), keep_archive)
