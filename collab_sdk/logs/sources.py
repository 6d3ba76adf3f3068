"""Where logs come from: files, folders and stdin, plain or gzipped."""

import gzip
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from collab_sdk.errors import InputError
from collab_sdk.files import PARTIAL, STDIN, reason

_GZIP_MAGIC = b"\x1f\x8b"
_GLANCE = 4096
_BESIDE_SQLITE = re.compile(r"-(?:wal|shm|journal|(?:pending|making)-\d+-[0-9a-f]+)$")
"""What SQLite, and an app that records, keep beside a database that is open is no log of its own."""


class NotALogError(InputError):
    """A file holds something that no chats can be in."""


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
        raise InputError(f"cannot be read: {reason(error)}", where=path) from None
    if not files:
        raise InputError("no files in this folder", where=path)
    for file in files:
        # Asked instead of tried: opening a pipe twice would lose what is in it.
        if not os.access(file, os.R_OK):
            raise InputError("cannot be read: Permission denied", where=file)
    return files


def _visible_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and file.suffix != PARTIAL
        and not _BESIDE_SQLITE.search(file.name)
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


@contextmanager
def open_log(file: str) -> Iterator[BinaryIO]:
    """The bytes of one log, unzipped if they begin as gzip does."""
    with ExitStack() as stack:
        log = _open_stdin(stack) if file == STDIN else stack.enter_context(Path(file).open("rb"))
        if log.peek(2).startswith(_GZIP_MAGIC):
            yield cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=log)))
        else:
            yield log


def peek(log: BinaryIO) -> bytes:
    """How the log begins, as far as can be told without taking anything out of it."""
    return cast("io.BufferedReader[Any]", log).peek(_GLANCE)


def shown_name(file: str) -> str:
    """What messages call a file."""
    return "stdin" if file == STDIN else file


def _open_stdin(stack: ExitStack) -> "io.BufferedReader[Any]":
    """stdin, which is left open."""
    stdin = sys.stdin.buffer
    if isinstance(stdin, io.BufferedReader):
        return stdin  # as it is: a buffer more would hold lines back until it is full
    log = io.BufferedReader(cast(io.RawIOBase, stdin))  # replaced by something simpler, which cannot peek
    stack.callback(log.detach)
    return log
