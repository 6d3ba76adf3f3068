"""Which files are SQLite databases."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from collab_sdk.files.names import STDIN

_MAGIC = b"SQLite format 3\0"
_NONE_OF_SQLITE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN)
"""What SQLite says of a file that it does not have open."""


def is_sqlite(file: str) -> bool:
    """Whether the file is an SQLite database, be it a broken one; a pipe is not opened to see.

    SQLite looks first: closing the file here would drop the locks of a store that this process has open.
    """
    path = Path(file)
    try:
        if file == STDIN or not path.is_file() or not path.stat().st_size or not os.access(path, os.R_OK):
            return False
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        return error.sqlite_errorcode & 0xFF not in _NONE_OF_SQLITE or _begins_as_sqlite(path)
    except OSError:
        return False
    return True


def _begins_as_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as log:
            return log.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False
