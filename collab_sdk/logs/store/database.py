"""The connection to a store's file: transactions, locks, forks, and errors in plain words."""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from collab_sdk.errors import StoreError
from collab_sdk.files import create_private, reason
from collab_sdk.logs.store.schema import UnusableError, check, migrate, read_version

T = TypeVar("T")

PRAGMAS = (
    "synchronous = FULL",  # what was acknowledged survives a power cut too; a batch costs one fsync
    "secure_delete = ON",  # what is purged is overwritten, not only unlinked
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "cache_size = -16000",
)
LONGEST_VALUE = 128_000_000
"""Bytes of a value or row, several times those of the longest message that is read. SQLite loads nothing longer."""
BETWEEN_TRIES = 0.01
"""Seconds before another try to begin a transaction while others hold the file."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_OF_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading raises of rows that are not as they were written."""


class Database:
    """One connection that all threads of a process share; it is closed before a fork and opened anew on both sides.

    SQLite's locks are a process's own, so a connection carried into a child would believe in locks it does not hold.
    """

    def __init__(self, path: str | os.PathLike[str], *, patience: float) -> None:
        self.path = Path(path)
        self._patience = patience
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        try:
            self.path = self.path.expanduser().resolve()
            with self._explained():
                self._connection = self._open()
        except (OSError, RuntimeError, ValueError) as error:  # the last two: a path that is none
            raise StoreError(f"The store {self.path} cannot be opened: {reason(error)}.") from error
        _open_databases.add(self)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that takes effect as a whole or not at all."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The store as it is at one moment."""
        with self._transaction("BEGIN") as connection:
            yield connection

    def compact(self) -> None:
        """Rewrite the file without what was deleted, and empty the log of changes, which still holds it."""
        with self._lock, self._explained():
            connection = self._connected()

            def rewrite() -> None:
                connection.execute("VACUUM")
                if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    raise UnusableError("deleted text is still in its -wal file, as another process is reading")

            self._patiently(rewrite)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._disconnect()
        _open_databases.discard(self)

    def before_fork(self) -> None:
        self._lock.acquire()
        with suppress(sqlite3.Error):
            self._disconnect()

    def after_fork(self) -> None:
        self._lock.release()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        deadline = time.monotonic() + self._patience
        with self._explained():
            while True:
                with self._lock:
                    connection = self._connected()
                    if self._has_begun(connection, begin, deadline):
                        yield from _to_its_end(connection)
                        return
                time.sleep(BETWEEN_TRIES)  # without the lock, for which a fork would have to wait

    def _has_begun(self, connection: sqlite3.Connection, begin: str, deadline: float) -> bool:
        """False while others hold the file, until the deadline."""
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            connection.execute(begin)
        except sqlite3.Error as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(self._patience * 1000)}")
        return True

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise UnusableError("it is closed")
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        create_private(self.path)
        writable = os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)  # SQLite writes beside it
        connection = self._connect("mode=rw" if writable else self._read_only())
        try:
            self._patiently(lambda: _prepare(connection, writable=writable))
        except BaseException:
            connection.close()
            raise
        return connection

    def _read_only(self) -> str:
        """With a log of changes beside it, it may still change; without, no file beside it is needed or made."""
        return "mode=ro" if Path(f"{self.path}-wal").exists() else "mode=ro&immutable=1"

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?{mode}",
            uri=True,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,  # the lock sees to it
        )
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        return connection

    def _patiently(self, action: Callable[[], T]) -> T:
        """`action`, again while others hold the file: SQLite waits by itself only for a lock on rows."""
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

        retrying = Retrying(
            stop=stop_after_delay(self._patience),
            wait=wait_random(0.005, 0.05),
            retry=retry_if_exception(_is_busy),
            reraise=True,
        )
        return retrying(action)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"The store {self.path} {_problem(error)}.") from error
        except UnusableError as error:
            raise StoreError(f"The store {self.path} cannot be used: {error}.") from error
        except _OF_DAMAGE as error:
            raise StoreError(f"The store {self.path} cannot be used: {damage(error)}.") from error


def _to_its_end(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it by itself
            connection.execute("ROLLBACK")
        raise


def _prepare(connection: sqlite3.Connection, *, writable: bool) -> None:
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    read_version(connection)  # before anything is changed: it may be another program's
    if writable:
        connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection, writable=writable)
    check(connection)


def damage(error: Exception) -> str | None:
    """What is wrong with the rows that an error came of; None for one that they cannot have caused.

    A file from outside has whatever SQLite allows: text that is no UTF-8, nothing or a number where text should be.
    """
    if isinstance(error, sqlite3.OperationalError) and "Could not decode" in str(error):
        return "text in it is no UTF-8; the file was damaged or changed"
    if isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_TOOBIG:
        return f"a value in it has more than {LONGEST_VALUE:,} bytes, which no chat has"
    if isinstance(error, _OF_DAMAGE):
        return f"its rows are not what was stored ({type(error).__name__}); the file was damaged or changed"
    return None


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and _code(error) in _BUSY


def _code(error: sqlite3.Error) -> int | None:
    """SQLite's primary result code; None for errors that Python's module makes itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _problem(error: sqlite3.Error) -> str:
    code = _code(error)
    if code is None and (found := damage(error)):
        return f"cannot be used: {found}"
    if code in _BUSY:
        return "is locked by another process: try again when that is done"
    if code == sqlite3.SQLITE_FULL:
        return "cannot grow, the disk is full: free space; nothing of this write was kept"
    if code == sqlite3.SQLITE_NOTADB:
        return "is damaged, or is not a database: collab logs import LOGS --store FILE makes a store of other logs"
    if code == sqlite3.SQLITE_CORRUPT:
        return f"is damaged ({' '.join(str(error).split())}): move it away, or restore a copy"
    if code == sqlite3.SQLITE_READONLY:
        return "cannot be written: permission denied"
    return f"cannot be used: {reason(error)}"


_open_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()


def _before_fork() -> None:
    for database in list(_open_databases):
        database.before_fork()
        _crossing.append(database)


def _after_fork() -> None:
    while _crossing:
        _crossing.pop().after_fork()


_crossing: list[Database] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
