"""What the system says is wrong, in words."""

import errno
import os
import sqlite3

_TOO_MANY_FILES = "too many open files: raise the limit (ulimit -n), or lower --concurrency"
_MAYBE_OUT_OF_FILES = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
"""What SQLite says when it cannot open a file, whatever the reason is."""
_FILES_OF_SQLITE = 4
"""What it may need at once: database, -wal, -shm and the folder. Some may be closed again by the time of the error."""


def reason(error: BaseException) -> str:
    """What the system says is wrong, without the error number and the path."""
    if is_out_of_files(error):
        return _TOO_MANY_FILES
    return getattr(error, "strerror", None) or str(error)


def is_out_of_files(error: BaseException) -> bool:
    """Whether the error comes from too many open files; of SQLite, which does not tell, it is tried."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _MAYBE_OUT_OF_FILES and not _can_open(_FILES_OF_SQLITE)
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def _can_open(count: int) -> bool:
    opened: list[int] = []
    try:
        for _ in range(count):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    finally:
        for file in opened:
            os.close(file)
    return True
