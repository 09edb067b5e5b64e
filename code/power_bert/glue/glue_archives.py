"""Files of each data set on the servers, and their conversion into a folder that the readers accept."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from power_bert.errors import UserError, shorten
from power_bert.storage.archives import open_zip, read_tar_gz
from power_bert.storage.files import file_sha256, read_line_chunks, read_lines
from power_bert.storage.transfer import PublishedFile
from power_bert.text.glue_tasks import TASKS
from power_bert.text.labeled_sets import EMOTION, LABELED_TASKS, MASSIVE, NEWSGROUPS
from power_bert.text.labeled_sources import MASSIVE_FILE
from power_bert.text.newsgroups import ARCHIVE_NAME
from power_bert.text.task import Task
from power_bert_runtime.parsing import parsing

# Tables, and the authors' licenses and notes. Raw data in further folders of an archive is skipped.
_ENDINGS = (".tsv", ".txt", ".md")
_MASSIVE_MEMBER = re.compile(rf"(?:\./)?1\.[01]/data/{re.escape(MASSIVE_FILE)}")
# Far more than 16,521 lines of a few hundred bytes.
_MAX_MASSIVE_FILE_BYTES = 2**26
# The authors' files of emotion and the sha256 that Hugging Face's datasets recorded while the authors' server had them.
EMOTION_TEXTS = {
    "train.txt": "3ab03d945a6cb783d818ccd06dafd52d2ed8b4f62f0f85a09d7d11870865b190",
    "val.txt": "34faaa31962fe63cdf5dbf6c132ef8ab166c640254ab991af78f3aea375e79ef",
    "test.txt": "60f531690d20127339e7f054edc299a82c627b5ec0dd5d552d53d544e0cfcc17",
}


@dataclass(frozen=True)
class Archive:
    """One data set on the server.

    Attributes:
        folder: Folder of its tasks, also inside its zip archive.
        files: Names of its files, which are keys of PUBLISHED.
        unpack: Function (downloaded files in the order of `files`, empty folder) that fills the folder; raises a
            `UserError` if the files are damaged.
    """

    folder: str
    files: tuple[str, ...]
    unpack: Callable[[list[Path], Path], None]

    @property
    def tasks(self) -> list[Task]:
        """Tasks whose files lie in the folder."""
        return [task for task in (TASKS | LABELED_TASKS).values() if task.folder == self.folder]


def unpack_zip(files: list[Path], target: Path) -> None:
    """Unpack the files in the top folder of a zip archive, which has the name of the data set.

    Raises:
        UserError: The archive is truncated or changed (by the checksum of each file), has a path outside its folder, or
            holds a table that cannot be unpacked.
    """
    (path,) = files
    with open_zip(path) as archive:
        archive.check_places()
        for member in archive.counts:
            name = PurePosixPath(member.replace("\\", "/"))
            if len(name.parts) == 2 and name.suffix in _ENDINGS and not name.name.startswith("."):
                archive.extract(member, target / name.name)


def assemble_mrpc(files: list[Path], target: Path) -> None:
    """Make GLUE's three files from the two files of the Microsoft Research Paraphrase Corpus.

    Args:
        files: Training corpus, test corpus, and pairs of identifiers of GLUE's dev set.
        target: Folder for train.tsv, dev.tsv and test.tsv.
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
    """Copy the table of the diagnostic set, which is its only file."""
    (path,) = files
    shutil.copyfile(path, target / "diagnostic.tsv")


def keep_archive(files: list[Path], target: Path) -> None:
    """Copy the archive of the newsgroups, which is read without unpacking."""
    (path,) = files
    shutil.copyfile(path, target / path.name)


def extract_english(files: list[Path], target: Path) -> None:
    """Unpack the American English file from MASSIVE's archive of all languages.

    Raises:
        UserError: The archive is damaged, or lacks the file.
    """
    (path,) = files
    members = read_tar_gz(path, lambda name: bool(_MASSIVE_MEMBER.fullmatch(name)), _MAX_MASSIVE_FILE_BYTES)
    for _, content in members:
        (target / MASSIVE_FILE).write_bytes(content)
    if not (target / MASSIVE_FILE).exists():
        raise UserError(f"{path}: no file 1.1/data/{MASSIVE_FILE}; expected MASSIVE's archive")


def restore_emotion_texts(files: list[Path], target: Path) -> None:
    """Write the authors' text files of emotion from their copies as Parquet tables of texts and class numbers.

    Raises:
        UserError: A table is damaged, or does not hold the rows of the authors' file.
    """
    import pandas as pd  # takes a second

    names = LABELED_TASKS[EMOTION].labels or ()
    for path, (text_file, sha256) in zip(files, EMOTION_TEXTS.items(), strict=True):
        with parsing(path, "a Parquet table of emotion"):
            # pandas reads the format with pyarrow, a requirement of tensorflow-datasets.
            table = pd.read_parquet(path, columns=["text", "label"])
            lines = [f"{text};{names[label]}\n" for text, label in zip(table["text"], table["label"], strict=True)]
            (target / text_file).write_bytes("".join(lines).encode())
        if (found := file_sha256(target / text_file)) != sha256:
            raise UserError(f"{path}: its rows are not the authors' {text_file} (sha256 {found}, expected {sha256})")


def _mrpc_rows(path: Path) -> Iterator[list[str]]:
    for lines in read_line_chunks(path):
        for line in lines:
            row = line.split("\t")
            if len(row) != 5:
                raise UserError(f"{path}: a line with {len(row)} columns, expected 5: {shorten(line, 60)}")
            yield row


def _write_rows(path: Path, rows: list[list[str]]) -> None:
    path.write_bytes("".join("\t".join(row) + "\n" for row in rows).encode())


def _glue(name: str, num_bytes: int, sha256: str) -> PublishedFile:
    return PublishedFile((f"https://dl.fbaipublicfiles.com/glue/data/{name}",), num_bytes, sha256)


def _senteval(name: str, num_bytes: int, sha256: str) -> PublishedFile:
    return PublishedFile((f"https://dl.fbaipublicfiles.com/senteval/senteval_data/{name}",), num_bytes, sha256)


def _emotion(split: str, sha256: str) -> PublishedFile:
    # This version of the data set has the tables of these sha256; the authors' own links have been dead since 2022.
    version = "https://huggingface.co/datasets/dair-ai/emotion/resolve/cab853a1dbdf4c42c2b3ef2173804746df8825fe"
    return PublishedFile((f"{version}/split/{split}-00000-of-00001.parquet",), 2 * 10**6, sha256)


# Sizes and sha256 of GLUE's files are those that TensorFlow Datasets and Hugging Face's datasets record for these URLs.
# Those of the newsgroups are the ones that scikit-learn records for its copy at the first URL.
PUBLISHED: dict[str, PublishedFile] = {
    "CoLA.zip": _glue("CoLA.zip", 376971, "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff"),
    "SST-2.zip": _glue("SST-2.zip", 7439277, "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa"),
    "msr_paraphrase_train.txt": _senteval(
        "msr_paraphrase_train.txt", 1047044, "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89"
    ),
    "msr_paraphrase_test.txt": _senteval(
        "msr_paraphrase_test.txt", 441275, "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784"
    ),
    "mrpc_dev_ids.tsv": _glue(
        "mrpc_dev_ids.tsv", 6222, "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7"
    ),
    "STS-B.zip": _glue("STS-B.zip", 802872, "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85"),
    "QQP-clean.zip": _glue(
        "QQP-clean.zip", 41696084, "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0"
    ),
    "MNLI.zip": _glue("MNLI.zip", 312783507, "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633"),
    "QNLIv2.zip": _glue("QNLIv2.zip", 10627589, "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5"),
    "RTE.zip": _glue("RTE.zip", 697150, "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee"),
    "WNLI.zip": _glue("WNLI.zip", 28999, "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46"),
    "AX.tsv": _glue("AX.tsv", 222257, "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd"),
    ARCHIVE_NAME: PublishedFile(
        (
            "https://ndownloader.figshare.com/files/5975967",
            f"http://qwone.com/~jason/20Newsgroups/{ARCHIVE_NAME}",
        ),
        2 * 10**7,
        "8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15c759fa66d95610",
    ),
    "emotion-train.parquet": _emotion("train", "10817f0f2ea42358bc62f69a09dfb8bd71701727df6d5a387bea742f3ea06417"),
    "emotion-validation.parquet": _emotion(
        "validation", "c70f0e660b5ebd1ea9a37d2a851f516f08a6d6477cdfc11be204e22a2f1102fd"
    ),
    "emotion-test.parquet": _emotion("test", "6f8407fa1ca9c310f55781f082ed73812f6551e8dda2c61973123a121869245b"),
    "amazon-massive-dataset-1.1.tar.gz": PublishedFile(
        ("https://amazon-massive-nlu-dataset.s3.amazonaws.com/amazon-massive-dataset-1.1.tar.gz",),
        40251390,
        "4cba5faa11c71437928e17cb1b9b3d8b8e727e7ea363a3a9a8045e19c0491577",
    ),
}

ARCHIVES = (
    Archive("CoLA", ("CoLA.zip",), unpack_zip),
    Archive("SST-2", ("SST-2.zip",), unpack_zip),
    Archive("MRPC", ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt", "mrpc_dev_ids.tsv"), assemble_mrpc),
    Archive("STS-B", ("STS-B.zip",), unpack_zip),
    Archive("QQP", ("QQP-clean.zip",), unpack_zip),
    Archive("MNLI", ("MNLI.zip",), unpack_zip),
    Archive("QNLI", ("QNLIv2.zip",), unpack_zip),
    Archive("RTE", ("RTE.zip",), unpack_zip),
    Archive("WNLI", ("WNLI.zip",), unpack_zip),
    Archive("AX", ("AX.tsv",), copy_diagnostic),
)

# Not part of GLUE, so "all" does not include them.
LABELED_ARCHIVES = (
    Archive(
        LABELED_TASKS[EMOTION].folder,
        ("emotion-train.parquet", "emotion-validation.parquet", "emotion-test.parquet"),
        restore_emotion_texts,
    ),
    Archive(LABELED_TASKS[MASSIVE].folder, ("amazon-massive-dataset-1.1.tar.gz",), extract_english),
    Archive(NEWSGROUPS, (ARCHIVE_NAME,), keep_archive),
)
