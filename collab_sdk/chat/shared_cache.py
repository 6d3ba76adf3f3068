"""Replies on a server: what one machine has paid for, none of them pays for again."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from collab_sdk.chat.cache import UNREADABLE, CacheStats
from collab_sdk.chat.group_thread import GroupThread
from collab_sdk.chat.lease import pauses
from collab_sdk.chat.line import Line
from collab_sdk.chat.model import ChatReply
from collab_sdk.chat.row import Row, reply_in, row_of, written_in
from collab_sdk.chat.seal import Seal
from collab_sdk.chat.shared_rows import LARGEST, CacheServer, SharedRows
from collab_sdk.errors import CacheError

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds that a server may be away before the run ends."""
KEEP_EVERY = 3.0
"""Seconds after which leases are held on to."""
TRIES = 5
"""To write a row where another keeps writing one that is not ours."""
AT_ONCE = 128
"""Questions a trip. More would save little, and what they wake would hold up the event loop."""


@dataclass(frozen=True, eq=False, slots=True)
class _Claim:
    """On the lease of a key, by one caller."""

    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Put:
    key: str
    row: Row
    reply: ChatReply


class SharedCache:
    """A Cache on `server`, whose rows are believed if they carry the HMAC of `seal`.

    Three threads with a connection each look up, write and lease, and take whatever has gathered in one trip: an engine
    serves any number of event loops, to one of which a connection of asyncio's would belong, and no loop should wait
    for what a server is slow at, nor for an HMAC. Raises CacheError if the server cannot be used.
    """

    def __init__(
        self,
        server: CacheServer,
        seal: Seal,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.where = server.where
        self.quarantined = 0
        self._seal = seal
        self._patience = patience
        self._clock = clock
        self._instance = uuid.uuid4().hex
        self._held: dict[str, _Claim] = {}
        self._holder = os.getpid()
        self._keep_at = 0.0
        self._looking = Line(server, patience=patience)
        self._writing = Line(server, patience=patience)
        self._leasing = Line(server, patience=patience, greeting=self._keep)
        self._reader = GroupThread(self._look_up, name="collab-cache-reader", at_most=AT_ONCE)
        self._writer = GroupThread(self._write, name="collab-cache-writer", at_most=AT_ONCE)
        self._leases = GroupThread(self._lease, name="collab-cache-leases", at_most=AT_ONCE, every=KEEP_EVERY)
        self._looking.connect()  # what cannot work is said before anything is paid for

    async def aget(self, key: str) -> ChatReply | None:
        return await self._in_time(self._reader.do(key))

    async def aput(self, key: str, reply: ChatReply, *, request: Mapping[str, Any]) -> ChatReply:
        row = row_of(request, reply, written=self._clock())
        return await self._in_time(self._writer.do(_Put(key=key, row=row, reply=reply)))

    @asynccontextmanager
    async def lease(self, key: str) -> AsyncIterator[None]:
        claim = _Claim(key)
        try:
            for pause in pauses():
                if await self._in_time(self._leases.do((claim, True))):
                    break
                await asyncio.sleep(pause)
            yield
        finally:
            self._leases.tell((claim, False))

    async def _in_time(self, answer: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(2 * self._patience):
                return await answer
        except TimeoutError:
            raise CacheError(f"The cache at {self.where} has not answered for {2 * self._patience:g} s.") from None

    def _look_up(self, keys: list[str]) -> list[ChatReply | None]:
        distinct = list(dict.fromkeys(keys))
        found = dict(zip(distinct, self._looking.ask(lambda rows: rows.read(distinct)), strict=True))
        replies, odd = {}, {}
        for key, sealed in found.items():
            try:
                replies[key] = None if sealed is None else reply_in(self._seal.open(key, sealed))
            except UNREADABLE:
                odd[key] = sealed or b""
        self._quarantine(self._looking, odd)
        return [replies.get(key) for key in keys]

    def _quarantine(self, line: Line, odd: Mapping[str, bytes]) -> None:
        if odd:
            self.quarantined += len(odd)
            line.ask(lambda rows: rows.quarantine(odd))

    def _write(self, puts: list[_Put]) -> list[ChatReply]:
        """The reply that is kept, for each."""
        firsts: dict[str, _Put] = {}
        for put in puts:
            firsts.setdefault(put.key, put)
        kept = self._add({key: put.row for key, put in firsts.items()})
        replies = {key: put.reply if (row := kept[key]) is None else reply_in(row) for key, put in firsts.items()}
        return [replies[put.key] for put in puts]

    def _add(self, rows: Mapping[str, Row]) -> dict[str, Row | None]:
        """What was there already by each key, readable; None where the row was added."""
        sealed = {key: self._sealed(key, row) for key, row in rows.items()}
        kept: dict[str, Row | None] = {}
        for _ in range(TRIES):
            there = dict(zip(sealed, self._writing.ask(partial(_add, sealed)), strict=True))
            found = {key: self._readable(key, other) for key, other in there.items() if other is not None}
            kept |= {key: found.get(key) for key in sealed}
            odd = {key: there[key] or b"" for key, row in found.items() if row is None}
            if not odd:
                return kept
            self._quarantine(self._writing, odd)
            sealed = {key: sealed[key] for key in odd}
        raise CacheError(f"Somebody without the right key keeps writing to the cache at {self.where}.")

    def _sealed(self, key: str, row: Row) -> bytes:
        sealed = self._seal.close(key, row)
        if len(sealed) > LARGEST:
            raise CacheError(f"A reply of {len(sealed):,} bytes is more than the cache at {self.where} may hold.")
        return sealed

    def _lease(self, claims: list[tuple[_Claim, bool]]) -> list[bool]:
        """Take and give up leases; which of the claims hold theirs now."""
        if self._holder != os.getpid():  # what was held is the parent's
            self._held, self._holder = {}, os.getpid()
        wanted: dict[str, _Claim] = {}
        for claim, taking in claims:
            if taking and claim.key not in self._held:
                wanted.setdefault(claim.key, claim)
        if wanted:
            granted = self._leasing.ask(lambda rows: rows.lock(list(wanted), self._owner))
            self._held |= {claim.key: claim for claim, got in zip(wanted.values(), granted, strict=True) if got}
        given = [claim.key for claim, taking in claims if not taking and self._held.get(claim.key) is claim]
        for key in given:
            del self._held[key]
        if given:
            self._leasing.ask(lambda rows: rows.unlock(given, self._owner))
        if self._held and time.monotonic() >= self._keep_at:
            self._leasing.ask(self._keep)
            self._keep_at = time.monotonic() + KEEP_EVERY
        return [self._held.get(claim.key) is claim for claim, _ in claims]

    def _keep(self, rows: SharedRows) -> None:
        rows.keep(list(self._held), self._owner)

    @property
    def _owner(self) -> str:
        return f"{self._instance}-{self._holder}"

    def stats(self) -> CacheStats:
        records, size = self._looking.ask(lambda rows: rows.size())
        return CacheStats(where=self.where, records=records, bytes=size)

    def rows(self) -> Iterator[tuple[str, Row]]:
        for page in self._pages():
            yield from ((key, row) for key, row in page.items() if row is not None)

    def _pages(self) -> Iterator[dict[str, Row | None]]:
        """All rows, some at a time; None for those that cannot be read."""
        keys, after = self._looking.ask(lambda rows: rows.scan(""))
        while True:
            found = self._looking.ask(partial(_read, keys))
            page = {key: sealed for key, sealed in zip(keys, found, strict=True) if sealed is not None}
            yield {key: self._readable(key, sealed) for key, sealed in page.items()}
            if not after:
                return
            keys, after = self._looking.ask(partial(_scan, after))

    def _readable(self, key: str, sealed: bytes) -> Row | None:
        try:
            row: Row = self._seal.open(key, sealed)
            reply_in(row)
            written_in(row)
        except UNREADABLE:
            return None
        return row

    def add(self, rows: Mapping[str, Row]) -> int:
        return list(self._add(rows).values()).count(None)

    def prune(self, older_than: float) -> int:
        limit = self._clock() - older_than
        deleted = 0
        for page in self._pages():
            stale = [key for key, row in page.items() if row is None or written_in(row) < limit]
            deleted += self._looking.ask(partial(_delete, stale))
        return deleted

    def clear(self) -> int:
        return self._looking.ask(lambda rows: rows.clear())

    def close(self) -> None:
        for line in (self._looking, self._writing, self._leasing):
            line.give_up()
        for thread in (self._reader, self._writer, self._leases):
            thread.close(timeout=self._patience)
        for line in (self._looking, self._writing, self._leasing):
            line.close()


def _read(keys: list[str], rows: SharedRows) -> list[bytes | None]:
    return rows.read(keys)


def _add(sealed: Mapping[str, bytes], rows: SharedRows) -> list[bytes | None]:
    return rows.add(sealed)


def _scan(after: str, rows: SharedRows) -> tuple[list[str], str]:
    return rows.scan(after)


def _delete(keys: list[str], rows: SharedRows) -> int:
    return rows.delete(keys)
