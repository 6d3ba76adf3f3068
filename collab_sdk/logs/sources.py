"""Where logs come from: files, folders and stdin."""

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import Any, cast

from collab_sdk.errors import InputError
from collab_sdk.files import PARTIAL, STDIN, file_meant, reason

_GLANCE = 4096
_BESIDE_SQLITE = re.compile(r"-(?:wal|shm|journal|(?:pending|making)-\d+-[0-9a-f]+)$")
"""What SQLite, and an app that records, keep beside a database that is open is no log of its own."""
_REVERSED_PLACE = re.compile(r"(?:\d++:|\d++ (?:meti|wor|yrtne|eulav) ,)*+")
"""What follows the name of a file in a place, such as `:3` or `, item 2, entry 1`. From its end, so that the time that
it takes does not depend on the name, which may look like places itself.
"""
WEB = ("http://", "https://")
_BESIDE_ARROW = ("dataset_dict.json", "dataset_info.json", "state.json")
"""What `datasets.save_to_disk` writes about the rows beside them."""


def log_files(paths: Iterable[str | Path]) -> list[str]:
    """The files behind the paths, those of a folder sorted. Raises InputError for the first that cannot be read."""
    if isinstance(paths, str | Path):  # else a lone string would be read as one path a letter
        paths = [paths]
    return [file for path in paths for file in _files_of(str(path))]


def _files_of(path: str) -> list[str]:
    if path == STDIN:
        return [path]
    try:
        Path(path).stat()
        files = [str(file) for file in _visible_files(Path(path))] if Path(path).is_dir() else [path]
    except (OSError, ValueError) as error:
        meant = file_meant(path) if isinstance(error, FileNotFoundError) else ""
        if path.startswith(WEB):
            meant = "; it is a web address: download the file, or pipe it to -"
        raise InputError(f"cannot be read: {reason(error)}{meant}", where=path) from None
    if not files:
        raise InputError("no files in this folder", where=path)
    for file in files:
        # Asked instead of tried: opening a pipe twice would lose what is in it.
        if not os.access(file, os.R_OK):
            raise InputError("cannot be read: Permission denied", where=file)
    return files


def _visible_files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and is_log_name(file.relative_to(folder)))
    datasets = {file.parent for file in files if file.suffix == ".arrow"}
    return [file for file in files if file.name not in _BESIDE_ARROW or not _tells_about(file, datasets)]


def _tells_about(file: Path, datasets: Iterable[Path]) -> bool:
    """Whether the file lies beside the rows of a data set, or beside the folders of its splits."""
    return any(file.parent in (dataset, dataset.parent) for dataset in datasets)


def is_log_name(path: PurePath) -> bool:
    """Whether a file of a folder or archive may be a log: not if it is hidden, unfinished or one that SQLite keeps."""
    return (
        path.suffix != PARTIAL
        and not _BESIDE_SQLITE.search(path.name)
        and not any(part.startswith(".") for part in path.parts)
    )


@contextmanager
def open_log(file: str) -> Iterator["io.BufferedReader[Any]"]:
    """The bytes of one log, as they are."""
    with ExitStack() as stack:
        yield _open_stdin(stack) if file == STDIN else stack.enter_context(Path(file).open("rb"))


def peek(log: "io.BufferedReader[Any]") -> bytes:
    """How the log begins, as far as can be told without taking anything out of it."""
    return log.peek(_GLANCE)


def shown_name(file: str) -> str:
    """What messages call a file."""
    return "stdin" if file == STDIN else file


def source_of(where: str) -> str:
    """The file, or the member of an archive, that a place is in."""
    found = _REVERSED_PLACE.match(where[::-1])
    return where[: len(where) - found.end()] if found else where


def _open_stdin(stack: ExitStack) -> "io.BufferedReader[Any]":
    """stdin, which is left open."""
    stdin = sys.stdin.buffer
    if isinstance(stdin, io.BufferedReader):
        return stdin  # as it is: a buffer more would hold lines back until it is full
    log = io.BufferedReader(cast(io.RawIOBase, stdin))  # replaced by something simpler, which cannot peek
    stack.callback(log.detach)
    return log
