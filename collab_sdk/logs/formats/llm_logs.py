"""The logs.db of simonw/llm, of any version: `responses` by conversation, and since 0.32 `threads` of a message tree.

It is opened read-only. A database whose -wal cannot be read beside it, as in a read-only folder, is read without.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.llm_responses import read_responses
from collab_sdk.logs.formats.llm_threads import read_threads
from collab_sdk.types import Conversation

Report = Callable[[InputError], None]

_FOLDER_IS_READ_ONLY = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_OLD, _NEW = {"responses", "conversations"}, {"threads", "turns", "messages", "parts"}


def is_llm_database(file: str) -> bool:
    """Whether its tables are llm's. Raises InputError for a database that cannot be read."""
    with closing(_connect(file)) as database:
        tables = _tables(database, file)
    return tables >= _OLD or tables >= _NEW


def read_llm_database(file: str, report: Report) -> Iterator[Conversation]:
    """Its conversations, each once: one that was begun in the old tables and went on in the new is whole in those."""
    with closing(_connect(file)) as database:
        tables = _tables(database, file)
        try:
            if tables >= _NEW:
                yield from read_threads(database, file, report)
            if tables >= _OLD:

                def known(name: str) -> bool:
                    return tables >= _NEW and _has_thread(database, name)

                yield from read_responses(database, file, report, tables=tables, known=known)
        except sqlite3.Error as error:
            report(InputError(f"cannot be read from here on: {error}", where=file))


def _has_thread(database: sqlite3.Connection, name: str) -> bool:
    return database.execute("SELECT 1 FROM threads WHERE id = ?", [name]).fetchone() is not None


def _connect(file: str) -> sqlite3.Connection:
    """Raises InputError. Text that is no UTF-8 is read with replacements."""
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
    database = sqlite3.connect(f"{Path(file).resolve().as_uri()}?{mode}", uri=True)
    database.text_factory = lambda text: text.decode(errors="replace")
    database.row_factory = sqlite3.Row
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _tables(database: sqlite3.Connection, file: str) -> set[str]:
    try:
        return {row["name"] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise InputError(f"cannot be read: {error}", where=file) from None
