"""A file that nobody but its owner can read, and nobody but its owner could have written."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from collab_sdk.files.names import database_files

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def create_private(path: Path, *, own_folder: bool = False) -> None:
    """Create an SQLite file, 0600, and its folder, 0700, where they are missing; nobody else can read one that exists.

    Raises PermissionError where others could have written the file, or one that SQLite reads beside it, or could
    replace it because they can write in its folder. Write access for the folder's group counts only with `own_folder`,
    where nothing else is in it. Raises OSError for what cannot be created. SQLite gives its -wal and -shm files the
    mode of the database, so they follow. A file that exists must not even be opened: closing it would drop the locks
    that SQLite holds on it in this process.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(errno.ENOTDIR, f"{path.parent} is not a folder") from None
    if os.name != "nt":
        _check_folder(path.parent, own=own_folder)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if os.name != "nt":
        _make_private(path)
        for file in database_files(path)[1:]:
            _check_origin(file, of=path)
            _make_private(file)


def _check_folder(folder: Path, *, own: bool) -> None:
    mode = folder.stat().st_mode
    strangers = mode & stat.S_IWOTH and not mode & stat.S_ISVTX  # in /tmp nobody can replace another's files
    if (mode & _OTHERS_WRITE) if own else strangers:
        raise PermissionError(errno.EPERM, f"others can write in the folder {folder} (chmod go-w {folder})")


def _check_origin(file: Path, *, of: Path) -> None:
    """What lies beside a file is read as a part of it: in a folder for all, anybody may have put it there."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise PermissionError(errno.EPERM, f"{file} is not a regular file: remove it")
    if found.st_uid not in (0, os.geteuid(), of.stat().st_uid):
        raise PermissionError(errno.EPERM, f"{file} belongs to another user: remove it")


def _make_private(file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return
    if mode & _OTHERS_WRITE:
        raise PermissionError(errno.EPERM, f"others can write to {file} (chmod go-w {file})")
    if mode & _OTHERS:
        with suppress(OSError):  # it is another user's
            file.chmod(stat.S_IMODE(mode) & ~_OTHERS)
