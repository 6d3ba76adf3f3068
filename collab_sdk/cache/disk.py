"""Replies on disk: nothing that was paid for is paid for twice."""

import hashlib
import math
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import diskcache
from diskcache.core import MODE_RAW

from collab_sdk.cache.base import UNREADABLE
from collab_sdk.cache.batching import BatchThread
from collab_sdk.cache.contents import Added, CacheStats, Contents, Unreadable, Walk
from collab_sdk.cache.lease import FileLeases
from collab_sdk.cache.record import (
    HostileRowError,
    Row,
    compress,
    decompress,
    from_json,
    is_served_as,
    reply_in,
    row_of,
    to_json,
    written_in,
)
from collab_sdk.errors import CacheError
from collab_sdk.files import create_private, is_out_of_files, reason
from collab_sdk.models.base import ChatReply

T = TypeVar("T")
FULL = 2
"""SQLite's synchronous=FULL: a commit survives a power cut. Group commit makes it nearly free."""
LOCK_PATIENCE = 60.0
"""Seconds to wait for another process's lock."""
DIGEST_BYTES = 16
PAGE = 500
"""Records that are looked at in one step."""
WAY_OUT = "choose another with --cache-dir (cache=)"


class DiskCache:
    """A directory, 0700, that any number of processes may share. Never evicts: it is also the journal of a run."""

    def __init__(self, directory: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        """Raises CacheError if the directory cannot be used."""
        self.directory = Path(directory).expanduser()
        self.where = str(self.directory)
        self.quarantined = 0
        self._clock = clock
        try:
            create_private(self.directory / "cache.db", own_folder=True)
            self._rows = diskcache.Cache(
                str(self.directory),
                disk=JSONOnlyDisk,
                eviction_policy="none",
                cull_limit=0,
                sqlite_synchronous=FULL,
            )
            self._leases = FileLeases(self.directory / "leases")
        except Exception as error:
            is_of_disk = isinstance(error, sqlite3.OperationalError)  # which says "disk I/O error" where it is full
            advice = "" if is_out_of_files(error) else f"; {'free space there, or ' if is_of_disk else ''}{WAY_OUT}"
            raise CacheError(
                f"The cache directory {self.directory} cannot be used: {reason(error)}{advice}."
            ) from error
        self._writer = BatchThread(self._commit, name="collab-cache")

    async def aget(self, key: str) -> ChatReply | None:
        # Here and now: a look-up takes 26 us, another thread would take longer.
        try:
            row = self._rows.get(key)
            return None if row is None else reply_in(row)
        except UNREADABLE:
            self.quarantined += 1
            return None
        except Exception as error:
            raise self._broken("read", error) from error

    async def aput(self, key: str, reply: ChatReply, *, request: Mapping[str, Any]) -> ChatReply:
        there = await self._writer.do((key, row_of(request, reply, written=self._clock())))
        return reply if there is None else reply_in(there)

    def lease(self, key: str) -> AbstractAsyncContextManager[None]:
        return self._leases.hold(key)

    def _commit(self, group: list[tuple[str, Row]]) -> list[Row | None]:
        """What was there already, for each of them; None where there was nothing of use, so that it is kept."""

        def write() -> list[Row | None]:
            with self._rows.transact():
                return [self._add(key, row) for key, row in group]

        return self._patiently(write)

    def _add(self, key: str, row: Row) -> Row | None:
        there = self._readable(key)
        if there is None:
            self._rows.set(key, row)
        return there

    def _readable(self, key: str) -> Row | None:
        return None if isinstance(row := self._opened(key), Unreadable) else row

    def _opened(self, key: str) -> Row | Unreadable | None:
        """None where there is none."""
        try:
            row: Row | None = self._rows.get(key)
            if row is not None:
                reply_in(row)
                written_in(row)
            return row
        except UNREADABLE:
            return Unreadable.DAMAGED

    def _patiently(self, work: Callable[[], T], *, done: str = "written") -> T:
        """Do `work`, again for as long as another process holds the lock.

        diskcache's own retry takes any failure for a lock, and tries again forever without a pause.
        """
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                return work()
            except Exception as error:
                # diskcache raises a Timeout without a word in place of SQLite's error.
                cause = error.__context__ if isinstance(error.__context__, sqlite3.OperationalError) else error
                if not _is_locked(cause) or time.monotonic() >= deadline:
                    raise self._broken(done, cause) from error
            time.sleep(0.01)

    def _broken(self, done: str, error: BaseException) -> CacheError:
        advice = "" if is_out_of_files(error) else f" Free space, or {WAY_OUT}."
        return CacheError(f"The cache at {self.directory} cannot be {done}: {reason(error)}.{advice}")

    def stats(self) -> CacheStats:
        return CacheStats(where=self.where, records=len(self._rows), bytes=self._rows.volume())

    def inspect(self) -> Contents:
        return self.clear(dry_run=True)

    def rows(self) -> Iterator[tuple[str, Row | Unreadable]]:
        for page in self._pages():
            yield from self._patiently(partial(self._found, page), done="read").items()

    def add(self, rows: Mapping[str, Row]) -> Added:
        return Added(rows=self._commit(list(rows.items())).count(None))

    def now(self) -> float:
        return self._clock()

    def prune(
        self,
        older_than: float | None,
        *,
        now: float | None = None,
        unreadable: bool = False,
        served: str | None = None,
        dry_run: bool = False,
    ) -> Contents:
        limit = -math.inf if older_than is None else (self.now() if now is None else now) - older_than
        return self._walk(
            lambda row: written_in(row) < limit or is_served_as(row, served),
            also=tuple(Unreadable) if unreadable else (),
            delete=not dry_run,
        )

    def forget(self, is_unwanted: Callable[[Row], bool]) -> Contents:
        contents = self._walk(is_unwanted, also=[Unreadable.DAMAGED], delete=True)
        self._patiently(self._compact)
        return contents

    def clear(self, *, dry_run: bool = False) -> Contents:
        return self._walk(lambda row: True, delete=not dry_run)

    def _walk(self, is_wanted: Callable[[Row], bool], *, also: Collection[Unreadable] = (), delete: bool) -> Contents:
        walk = Walk(is_wanted, also)
        for page in self._pages():
            if delete:
                self._patiently(partial(self._delete, page, walk))
            else:
                walk.pick(self._patiently(partial(self._found, page), done="read"))
        return walk.contents

    def _delete(self, keys: list[str], walk: Walk) -> None:
        """In one step with reading them: what somebody has paid for in between must stay."""
        with self._rows.transact():
            for key in walk.pick(self._found(keys)):
                self._rows.delete(key)

    def _pages(self) -> Iterator[list[str]]:
        keys = iter(self._rows)
        while page := [*islice(keys, PAGE)]:
            yield page

    def _found(self, keys: list[str]) -> dict[str, Row | Unreadable]:
        return {key: row for key in keys if (row := self._opened(key)) is not None}

    def _compact(self) -> None:
        """Rewrite the file without what was deleted, and empty the log of changes, which still holds it."""
        with closing(sqlite3.connect(self.directory / "cache.db", isolation_level=None)) as file:
            file.execute("VACUUM")
            if file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise sqlite3.OperationalError("database is locked by another process")

    def close(self) -> None:
        self._writer.close()
        self._leases.close()
        self._rows.close()


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))


class JSONOnlyDisk(diskcache.Disk):  # type: ignore[misc]
    """How diskcache stores a record: as JSON behind a checksum, under a string, all of it inside the database.

    diskcache's own Disk and JSONDisk run pickles from a hostile row (CVE-2025-69872), and open and delete files that a
    row names.
    """

    def put(self, key: str) -> tuple[str, bool]:
        return key, True

    def get(self, key: Any, raw: bool) -> str:
        return key if raw and isinstance(key, str) else ""  # a key that no look-up of ours can hit

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, memoryview]:
        raw = to_json(value)
        return 0, MODE_RAW, None, memoryview(_digest(raw) + compress(raw))

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode != MODE_RAW or filename is not None or not isinstance(value, bytes):
            raise HostileRowError("a row of another kind")
        raw = decompress(value[DIGEST_BYTES:])
        if _digest(raw) != value[:DIGEST_BYTES]:
            raise HostileRowError("a wrong checksum")
        return from_json(raw)

    def filename(self, key: Any = None, value: Any = None) -> NoReturn:
        raise HostileRowError("values are never stored in files")

    def remove(self, file_path: str) -> None:
        """Rows of ours name no file; whatever file a hostile row names is left alone."""


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:DIGEST_BYTES]
