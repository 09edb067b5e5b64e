"""`bash run.sh download`: GLUE's data sets from its server into `glue_data/`, checked before they appear there."""

from collections.abc import Callable, Sequence
from pathlib import Path

from power_bert.errors import UserError
from power_bert.files import atomic_directory, file_sha256
from power_bert.locks import one_writer
from power_bert.text.examples import count_examples
from power_bert.text.glue_archives import ARCHIVES, NEWSGROUPS_ARCHIVE, PUBLISHED, Archive
from power_bert.text.glue_tasks import get_task
from power_bert.text.transfer import Progress, TransferError, fetch_file, set_aside

ALL = "all"
DOWNLOADS = "downloads"
# Makes the Progress that shows a file's download, from its name.
ShowProgress = Callable[[str], Progress]


def download_glue(
    names: Sequence[str],
    glue_folder: Path,
    tell: Callable[[str], None],
    show_progress: ShowProgress,
    mirror: str | None = None,
    wait: bool = False,
) -> None:
    """Fetches the data sets of tasks into `glue_folder`, one folder each; what is complete there is left alone.

    Downloads lie in `glue_folder/downloads` until they are unpacked; a file that was put there by hand is taken
    instead of the server's. What a server sends is compared by sha256; whatever is unpacked, by its rows. A file that
    is refused gets another name.

    Args:
        names: Names of tasks, or "all" (of GLUE).
        glue_folder: Usually `glue_data`.
        tell: Told in a line what is being done.
        show_progress: Shows how far a download is.
        mirror: Another server with the same files, all in one folder; None for the official ones.
        wait: Whether to wait where another process fetches the same data set.

    Raises:
        UserError: An unknown task, no network (with what to put where), a damaged file, or a folder of the user's
            in the place. What is done stays.
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
    archives = [archive for archive in (*ARCHIVES, NEWSGROUPS_ARCHIVE) if archive.folder in folders]
    if missing := folders - {archive.folder for archive in archives}:
        raise UserError(
            f"{', '.join(sorted(missing))}: not fetched by this command. Download its train, validation and test files "
            "(JSON lines) from a hub of data sets, and set DATA_DIR to their folder."
        )
    return archives


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
    """Files that could not be unpacked to the official data; they are set aside."""


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
        names = ", ".join(set_aside(file).name for file in suspects)
        raise _Refused(f"{error}. Nothing was unpacked; set aside as {names}") from error


def _fetch(
    archive: Archive, file: Path, tell: Callable[[str], None], show_progress: ShowProgress, mirror: str | None
) -> None:
    """Fetch a file from the first address that has it."""
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
    """What keeps a folder from being the official data: every row is read; None if nothing does."""
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
        f"{error}\nCheck the network (behind a proxy, set HTTPS_PROXY) and call again: it goes on. Or name another "
        "server with --mirror. Or download these "
        f"files on another machine, put them into {glue_folder / DOWNLOADS} and call again:\n{listed}"
    )
