"""A file that nobody but its owner could ever read."""

import errno
import os
from contextlib import suppress
from pathlib import Path


def create_private(path: Path) -> None:
    """Create the file, 0600, and its folder, 0700, where they are missing; what exists is left as it is.

    Raises OSError. SQLite gives its -wal and -shm files the mode of the database, so they follow. One that is there
    must not even be opened: closing it would drop the locks that SQLite holds on it in this process.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(errno.ENOTDIR, f"{path.parent} is no folder") from None
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
