"""What formats share that are SQLite databases of an app."""

import sqlite3
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from collab_sdk.errors import InputError
from collab_sdk.types import Conversation

Report = Callable[[InputError], None]
LONGEST_VALUE = 64_000_000
"""Bytes of a value or row of a database; what is longer is an error of SQLite's, so that it is never loaded."""

_FOLDER_IS_READ_ONLY = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFormat:
    """A database with chats in it, opened read-only. `read` reports a bad chat and goes on."""

    name: str
    known_by: str
    """Its tables, for people."""
    matches: Callable[[Set[str]], bool]
    """By the names of its tables."""
    read: Callable[[sqlite3.Connection, str, Report], Iterator[Conversation]]
    """From the connection, whose rows are `sqlite3.Row`, and the name of the file."""


@contextmanager
def opened(file: str) -> Iterator[sqlite3.Connection]:
    """The database of a file. Raises InputError. Text that is no UTF-8 is read with replacements.

    One whose -wal cannot be read beside it, as in a read-only folder, is read without.
    """
    database = _connect(file)
    try:
        yield database
    finally:
        database.close()


def tables_of(database: sqlite3.Connection) -> set[str]:
    return {row["name"] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def _connect(file: str) -> sqlite3.Connection:
    try:
        return _opened(file, "mode=ro")
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF not in _FOLDER_IS_READ_ONLY:
            raise InputError(f"cannot be read: {error}", where=file) from None
    try:
        return _opened(file, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise InputError(f"cannot be read: {error}", where=file) from None


def _opened(file: str, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{Path(file).resolve().as_uri()}?{mode}", uri=True, check_same_thread=False)
    database.text_factory = lambda text: text.decode(errors="replace")
    database.row_factory = sqlite3.Row
    try:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        database.close()
        raise
    return database
