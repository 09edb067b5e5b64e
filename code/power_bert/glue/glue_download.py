"""Download of labeled data sets, such as GLUE's, into `glue_data/`; a folder appears only once its data is checked."""

from collections.abc import Callable, Sequence
from pathlib import Path

from power_bert.errors import UserError
from power_bert.glue.glue_archives import ARCHIVES, LABELED_ARCHIVES, PUBLISHED, Archive
from power_bert.storage.files import atomic_directory, file_sha256
from power_bert.storage.locks import one_writer
from power_bert.storage.transfer import ByteProgress, TransferError, fetch_file, set_file_aside
from power_bert.text.examples import count_examples
from power_bert.text.glue_tasks import get_task
from power_bert.text.labeled_sets import SAMPLE

ALL = "all"
DOWNLOADS = "downloads"
# Function from a file name to the callback that shows its download.
ShowProgress = Callable[[str], ByteProgress]


def download_glue(
    names: Sequence[str],
    glue_folder: Path,
    tell: Callable[[str], None],
    show_progress: ShowProgress,
    mirror: str | None = None,
    wait: bool = False,
) -> None:
    """Fetch the data sets of tasks into `glue_folder`, one folder each; complete folders are left alone.

    Downloads stay in `glue_folder/downloads` until they are unpacked. A file that the user put there is used instead of
    the server's. A file from a server is checked by its sha256, and every unpacked data set by its rows. A rejected
    file is renamed.

    Args:
        names: Names of tasks of GLUE and of other labeled sets, or "all" for all of GLUE.
        glue_folder: Target folder, usually `glue_data`.
        tell: Callback for one-line progress messages.
        show_progress: Function from a file name to the callback that shows its download.
        mirror: URL of another server with the same files, all in one folder; None for the official servers.
        wait: Whether to wait if another process is fetching the same data set.

    Raises:
        UserError: A task is unknown, the network fails (the message lists what to put where), a file is damaged, or a
            folder of the user is in the way. Finished data sets are kept.
    """
    archives = _chosen(names)
    for position, archive in enumerate(archives):
        try:
            with one_writer(glue_folder / archive.folder, wait):
                _download(archive, glue_folder, tell, show_progress, mirror)
        except TransferError as error:
            raise UserError(_network_message(error, archives[position:], glue_folder)) from error
        except _Refused as error:
            raise UserError(f"{error}. Call again, or name another server with --mirror.") from error
        except OSError as error:
            raise UserError(f"{glue_folder / archive.folder}: cannot be written ({error.strerror})") from error


def _chosen(names: Sequence[str]) -> list[Archive]:
    if ALL in names:
        return list(ARCHIVES)
    folders = {get_task(name).folder for name in names}
    if SAMPLE in names:
        raise UserError(f"{SAMPLE}: nothing to fetch. It is generated on first use, or by `bash run.sh sample`.")
    return [archive for archive in (*ARCHIVES, *LABELED_ARCHIVES) if archive.folder in folders]


def _download(
    archive: Archive, glue_folder: Path, tell: Callable[[str], None], show_progress: ShowProgress, mirror: str | None
) -> None:
    target = glue_folder / archive.folder
    if target.exists():
        _check_existing(archive, target)
        tell(f"{target} is complete: {_describe(archive)}")
        return
    files = [glue_folder / DOWNLOADS / name for name in archive.files]
    by_hand = [file for file in files if file.exists()]
    for file in by_hand:
        if not _is_published(file):
            tell(f"{file}: not the published file (its sha256 is another one); taken if it has the official rows")
    try:
        _fetch_and_unpack(archive, files, target, tell, show_progress, mirror)
    except _Refused as error:
        if not by_hand:
            raise
        tell(str(error))
        _fetch_and_unpack(archive, files, target, tell, show_progress, mirror)
    for file in files:
        file.unlink()
    tell(f"{target}: {_describe(archive)}")


class _Refused(UserError):
    """Error about files that do not unpack to the official data; they have been renamed."""


def _fetch_and_unpack(
    archive: Archive,
    files: list[Path],
    target: Path,
    tell: Callable[[str], None],
    show_progress: ShowProgress,
    mirror: str | None,
) -> None:
    for file in files:
        if not file.exists():
            _fetch(archive, file, tell, show_progress, mirror)
    try:
        with atomic_directory(target) as folder:
            archive.unpack(files, folder)
            if problem := _find_problem(archive, folder):
                names = ", ".join(str(file) for file in files)
                raise UserError(f"{names}: not the official data of {archive.folder} ({problem})")
    except UserError as error:
        suspects = [file for file in files if not _is_published(file)] or files
        names = ", ".join(set_file_aside(file).name for file in suspects)
        raise _Refused(f"{error}. Nothing was unpacked; set aside as {names}") from error


def _fetch(
    archive: Archive, file: Path, tell: Callable[[str], None], show_progress: ShowProgress, mirror: str | None
) -> None:
    """Fetch a file from the first URL that has it."""
    published = PUBLISHED[file.name]
    *others, last = [f"{mirror.rstrip('/')}/{file.name}"] if mirror else published.urls
    for address in others:
        tell(f"{archive.folder}: fetching {address}")
        try:
            fetch_file(address, file, published, show_progress(file.name))
            return
        except TransferError as error:
            tell(str(error))
    tell(f"{archive.folder}: fetching {last}")
    fetch_file(last, file, published, show_progress(file.name))


def _is_published(file: Path) -> bool:
    return file_sha256(file) == PUBLISHED[file.name].sha256


def _find_problem(archive: Archive, folder: Path) -> str | None:
    """Read every row of a folder; return what differs from the official data, or None."""
    for task in archive.tasks:
        for split, expected in task.rows.items():
            try:
                found = count_examples(task, split, folder)
            except UserError as error:
                return str(error)
            if found != expected:
                return f"{found} {split} rows for {task.name}, expected {expected}"
    return None


def _check_existing(archive: Archive, target: Path) -> None:
    problem = _find_problem(archive, target)
    if problem:
        raise UserError(
            f"{target}: is there, but it is not the official data ({problem}). Move it away and call again."
        )


def _describe(archive: Archive) -> str:
    counts = dict.fromkeys(f"{rows} {split}" for task in archive.tasks for split, rows in task.rows.items())
    return f"{', '.join(counts)} rows"


def _network_message(error: TransferError, missing: list[Archive], glue_folder: Path) -> str:
    names = [name for archive in missing for name in archive.files]
    listed = "\n".join(f"  {name}: {' or '.join(PUBLISHED[name].urls)}" for name in names)
    return (
        f"{error}\nCheck the network (behind a proxy, set HTTPS_PROXY) and call again to resume. Or name another "
        "server with --mirror. Or download these "
        f"files on another machine, put them into {glue_folder / DOWNLOADS} and call again:\n{listed}"
    )
