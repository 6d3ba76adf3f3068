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

from collab_sdk.cache.backend import LARGEST, CacheServer, SharedRows
from collab_sdk.cache.base import UNREADABLE, CacheStats
from collab_sdk.cache.batching import BatchThread
from collab_sdk.cache.connection import Connection
from collab_sdk.cache.lease import pauses
from collab_sdk.cache.record import Row, reply_in, row_of, written_in
from collab_sdk.cache.signing import Signer
from collab_sdk.errors import CacheError
from collab_sdk.models.base import ChatReply

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
    """A Cache on `server`, whose rows are believed if they carry the HMAC of `signer`.

    Three threads with a connection each look up, write and lease, and take whatever has gathered in one trip: an engine
    serves any number of event loops, to one of which a connection of asyncio's would belong, and no loop should wait
    for what a server is slow at, nor for an HMAC. Raises CacheError if the server cannot be used.
    """

    def __init__(
        self,
        server: CacheServer,
        signer: Signer,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.where = server.where
        self.quarantined = 0
        self._signer = signer
        self._patience = patience
        self._clock = clock
        self._instance = uuid.uuid4().hex
        self._held: dict[str, _Claim] = {}
        self._holder = os.getpid()
        self._keep_at = 0.0
        self._looking = Connection(server, patience=patience)
        self._writing = Connection(server, patience=patience)
        self._leasing = Connection(server, patience=patience, greeting=self._keep)
        self._reader = BatchThread(self._look_up, name="collab-cache-reader", at_most=AT_ONCE)
        self._writer = BatchThread(self._write, name="collab-cache-writer", at_most=AT_ONCE)
        self._leases = BatchThread(self._lease, name="collab-cache-leases", at_most=AT_ONCE, every=KEEP_EVERY)
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
        for key, signed in found.items():
            try:
                replies[key] = None if signed is None else reply_in(self._signer.open(key, signed))
            except UNREADABLE:
                odd[key] = signed or b""
        self._quarantine(self._looking, odd)
        return [replies.get(key) for key in keys]

    def _quarantine(self, connection: Connection, odd: Mapping[str, bytes]) -> None:
        if odd:
            self.quarantined += len(odd)
            connection.ask(lambda rows: rows.quarantine(odd))

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
        signed = {key: self._signed(key, row) for key, row in rows.items()}
        kept: dict[str, Row | None] = {}
        for _ in range(TRIES):
            there = dict(zip(signed, self._writing.ask(partial(_add, signed)), strict=True))
            found = {key: self._readable(key, other) for key, other in there.items() if other is not None}
            kept |= {key: found.get(key) for key in signed}
            odd = {key: there[key] or b"" for key, row in found.items() if row is None}
            if not odd:
                return kept
            self._quarantine(self._writing, odd)
            signed = {key: signed[key] for key in odd}
        raise CacheError(f"Somebody without the right key keeps writing to the cache at {self.where}.")

    def _signed(self, key: str, row: Row) -> bytes:
        signed = self._signer.close(key, row)
        if len(signed) > LARGEST:
            raise CacheError(f"A reply of {len(signed):,} bytes is more than the cache at {self.where} may hold.")
        return signed

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
            page = {key: signed for key, signed in zip(keys, found, strict=True) if signed is not None}
            yield {key: self._readable(key, signed) for key, signed in page.items()}
            if not after:
                return
            keys, after = self._looking.ask(partial(_scan, after))

    def _readable(self, key: str, signed: bytes) -> Row | None:
        try:
            row: Row = self._signer.open(key, signed)
            reply_in(row)
            written_in(row)
        except UNREADABLE:
            return None
        return row

    def add(self, rows: Mapping[str, Row]) -> int:
        return list(self._add(rows).values()).count(None)

    def prune(self, older_than: float) -> int:
        limit = self._clock() - older_than
        return self.forget(lambda row: written_in(row) < limit)

    def forget(self, is_unwanted: Callable[[Row], bool]) -> int:
        deleted = 0
        for page in self._pages():
            unwanted = [key for key, row in page.items() if row is None or is_unwanted(row)]
            deleted += self._looking.ask(partial(_delete, unwanted))
        return deleted

    def clear(self) -> int:
        return self._looking.ask(lambda rows: rows.clear())

    def close(self) -> None:
        for connection in (self._looking, self._writing, self._leasing):
            connection.give_up()
        for thread in (self._reader, self._writer, self._leases):
            thread.close(timeout=self._patience)
        for connection in (self._looking, self._writing, self._leasing):
            connection.close()


def _read(keys: list[str], rows: SharedRows) -> list[bytes | None]:
    return rows.read(keys)


def _add(signed: Mapping[str, bytes], rows: SharedRows) -> list[bytes | None]:
    return rows.add(signed)


def _scan(after: str, rows: SharedRows) -> tuple[list[str], str]:
    return rows.scan(after)


def _delete(keys: list[str], rows: SharedRows) -> int:
    return rows.delete(keys)
