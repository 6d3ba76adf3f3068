"""Replies on disk: nothing that was paid for is paid for twice."""

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from collab_sdk.chat.group_writer import GroupWriter
from collab_sdk.chat.lease import FileLeases
from collab_sdk.errors import CacheError

T = TypeVar("T")
Record = dict[str, Any]
FULL = 2
"""SQLite's synchronous=FULL: a commit survives a power cut. Group commit makes it nearly free."""
PATIENCE = 60.0
"""Seconds to wait for another process's lock."""
WAY_OUT = "choose another with --cache-dir (cache=)"


class Cache(Protocol):
    """Where the engine keeps replies, by key. What `aput` acknowledged, a later `get` finds."""

    quarantined: int
    """Rows that were refused as corrupt or hostile, and counted as misses."""

    def get(self, key: str) -> Record | None: ...

    async def aput(self, key: str, record: Record) -> None: ...

    def lease(self, key: str) -> AbstractAsyncContextManager[None]:
        """Held by whoever makes the call of `key`; others who share the cache wait for it."""


class MemoryCache:
    """For one process, nothing on disk."""

    def __init__(self) -> None:
        self.quarantined = 0
        self._records: dict[str, Record] = {}

    def get(self, key: str) -> Record | None:
        return self._records.get(key)

    async def aput(self, key: str, record: Record) -> None:
        self._records[key] = record

    def lease(self, key: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheStats:
    directory: Path
    records: int
    bytes: int


class DiskCache:
    """A directory, 0700, that any number of processes may share. Never evicts: it is also the journal of a run."""

    def __init__(self, directory: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        """Raises CacheError if the directory cannot be used."""
        self.directory = Path(directory).expanduser()
        self.quarantined = 0
        self._clock = clock
        import diskcache

        from collab_sdk.chat.json_disk import JSONOnlyDisk

        try:
            _make_private(self.directory)
            self._rows = diskcache.Cache(
                str(self.directory),
                disk=JSONOnlyDisk,
                eviction_policy="none",
                cull_limit=0,
                sqlite_synchronous=FULL,
            )
            self._leases = FileLeases(self.directory / "leases")
        except Exception as error:
            raise CacheError(f"The cache directory {self.directory} cannot be used: {error}; {WAY_OUT}.") from error
        self._writer = GroupWriter(self._commit, name="collab-cache")

    def get(self, key: str) -> Record | None:
        try:
            row = self._rows.get(key)
            return None if row is None else row["record"]
        except (ValueError, KeyError, TypeError):
            self.quarantined += 1
            return None
        except Exception as error:
            raise self._broken("read", error) from error

    async def aput(self, key: str, record: Record) -> None:
        await self._writer.write((key, record))

    def lease(self, key: str) -> AbstractAsyncContextManager[None]:
        return self._leases.hold(key)

    def _commit(self, group: list[tuple[str, Record]]) -> None:
        written = self._clock()

        def write() -> None:
            with self._rows.transact():
                for key, record in group:
                    self._rows.set(key, {"written": written, "record": record})

        self._patiently(write)

    def _patiently(self, write: Callable[[], T]) -> T:
        """`write`, again for as long as another process holds the lock.

        diskcache's own retry takes any failure for a lock, and tries again forever without a pause.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return write()
            except Exception as error:
                # diskcache raises a Timeout without a word in place of SQLite's error.
                cause = error.__context__ if isinstance(error.__context__, sqlite3.OperationalError) else error
                if not _is_locked(cause) or time.monotonic() >= deadline:
                    raise self._broken("written", cause) from error
            time.sleep(0.01)

    def _broken(self, done: str, error: BaseException) -> CacheError:
        return CacheError(f"The cache at {self.directory} cannot be {done}: {error}. Free space, or {WAY_OUT}.")

    def stats(self) -> CacheStats:
        return CacheStats(directory=self.directory, records=len(self._rows), bytes=self._rows.volume())

    def prune(self, older_than: float) -> int:
        """Delete records written more than `older_than` seconds ago, and unreadable ones; returns how many."""
        limit = self._clock() - older_than
        stale = [key for key in self._rows if self._written(key) < limit]
        for key in stale:
            self._patiently(partial(self._rows.delete, key))
        return len(stale)

    def _written(self, key: str) -> float:
        try:
            return float(self._rows.get(key)["written"])
        except (ValueError, KeyError, TypeError):
            return float("-inf")

    def clear(self) -> int:
        """Delete all records; returns how many."""
        return int(self._patiently(self._rows.clear))

    def close(self) -> None:
        self._writer.close()
        self._leases.close()
        self._rows.close()


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))


def _make_private(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = directory / "cache.db"
    # SQLite gives its -wal and -shm files the mode of the database.
    os.close(os.open(database, os.O_CREAT | os.O_RDWR, 0o600))


def default_cache_directory(environ: Mapping[str, str]) -> Path:
    """`COLLAB_CACHE_DIR`, or `collab` in the user's cache directory (XDG base directories)."""
    if chosen := environ.get("COLLAB_CACHE_DIR"):
        return Path(chosen)
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collab"
