"""Replies on a server: what one machine has paid for, none of them pays for again."""

import asyncio
import math
import os
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from collab_sdk.cache.backend import LARGEST, CacheServer, SharedRows
from collab_sdk.cache.base import UNREADABLE
from collab_sdk.cache.batching import BatchThread
from collab_sdk.cache.connection import Connection
from collab_sdk.cache.contents import Added, CacheStats, Contents, Unreadable
from collab_sdk.cache.key_check import KeyCheck
from collab_sdk.cache.lease import pauses
from collab_sdk.cache.record import Row, is_served_as, reply_in, row_of, written_in
from collab_sdk.cache.signing import Signer
from collab_sdk.cache.upkeep import Upkeep, opened
from collab_sdk.errors import CacheError
from collab_sdk.models.base import ChatReply

T = TypeVar("T")
SERVER_PATIENCE = 30.0
"""Seconds that a server may be away before the run ends."""
KEEP_EVERY = 3.0
"""Seconds after which leases are held on to."""
TRIES = 5
"""To write a row where another keeps writing one that is not ours."""
ODD_CLOCK = 3600.0
"""Seconds between two clocks that are worth a word."""
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
    for what a server is slow at, nor for an HMAC.

    The time of writing is by the server's clock, which all who share it have in common, unless `clock` tells it. Raises
    CacheError if the server cannot be used, or is used with another key: with `any_key` only once something is looked
    up or written, so that its rows can be counted.
    """

    def __init__(
        self,
        server: CacheServer,
        signer: Signer,
        *,
        patience: float = SERVER_PATIENCE,
        clock: Callable[[], float] | None = None,
        any_key: bool = False,
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
        self._check_key = KeyCheck(signer, server.where)
        self._is_claimed = False
        """Whether the server keeps the check value of this key."""
        self._any_key = any_key
        self._clock_start = 0.0
        """What the server's clock showed when `uptime` was 0."""
        self._looking = Connection(server, patience=patience, greeting=self._greet)
        self._writing = Connection(server, patience=patience, greeting=self._greet)
        self._leasing = Connection(server, patience=patience, greeting=self._keep)
        self._upkeep = Upkeep(self._looking, signer)
        self._reader = BatchThread(self._look_up, name="collab-cache-reader", at_most=AT_ONCE)
        self._writer = BatchThread(self._write, name="collab-cache-writer", at_most=AT_ONCE)
        self._leases = BatchThread(self._lease, name="collab-cache-leases", at_most=AT_ONCE, every=KEEP_EVERY)
        try:  # what cannot work is said before anything is paid for
            rows = self._looking.connect()
            self._writing.connect()
            self._leasing.connect()
        except BaseException:
            self.close()
            raise
        for text in (*rows.warnings, *self._clock_warning()):
            warnings.warn(f"The cache at {self.where} {text}.", stacklevel=2)

    async def aget(self, key: str) -> ChatReply | None:
        return await self._in_time(self._reader.do(key))

    async def aput(self, key: str, reply: ChatReply, *, request: Mapping[str, Any]) -> ChatReply:
        row = row_of(request, reply, written=self.now())
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
            connection.ask(self._check_key)  # they may be good under a key that is new at the server
            self.quarantined += len(odd)
            connection.ask(lambda rows: rows.quarantine(odd))

    def _write(self, puts: list[_Put]) -> list[ChatReply]:
        """The reply that is kept, for each."""
        firsts: dict[str, _Put] = {}
        for put in puts:
            firsts.setdefault(put.key, put)
        kept = self._add({key: self._signed(key, put.row) for key, put in firsts.items()})
        replies = {key: put.reply if (row := kept[key]) is None else reply_in(row) for key, put in firsts.items()}
        return [replies[put.key] for put in puts]

    def _add(self, signed: Mapping[str, bytes]) -> dict[str, Row | None]:
        """What was there already by each key, readable; None where the row was added."""
        self._claim(self._writing)
        kept: dict[str, Row | None] = {}
        for _ in range(TRIES):
            there = dict(zip(signed, self._writing.ask(partial(_add, signed)), strict=True))
            found = {key: opened(self._signer, key, other) for key, other in there.items() if other is not None}
            odd = {key: there[key] or b"" for key, row in found.items() if isinstance(row, Unreadable)}
            kept |= {key: None if isinstance(row := found.get(key), Unreadable) else row for key in signed}
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
        over = {claim for claim, taking in claims if not taking}
        given = [claim.key for claim in over if self._held.get(claim.key) is claim]
        for key in given:  # before anything is asked, which may fail: nobody would give them up again
            del self._held[key]
        if given:
            self._leasing.ask(lambda rows: rows.unlock(given, self._owner))
        wanted: dict[str, _Claim] = {}
        for claim, taking in claims:
            if taking and claim not in over and claim.key not in self._held:
                wanted.setdefault(claim.key, claim)
        if wanted:
            self._claim(self._leasing)
            granted = self._leasing.ask(lambda rows: rows.lock(list(wanted), self._owner))
            self._held |= {claim.key: claim for claim, got in zip(wanted.values(), granted, strict=True) if got}
        if self._held and time.monotonic() >= self._keep_at:
            self._leasing.ask(self._keep)
            self._keep_at = time.monotonic() + KEEP_EVERY
        return [self._held.get(claim.key) is claim for claim, _ in claims]

    def _claim(self, connection: Connection) -> None:
        if not self._is_claimed:
            connection.ask(self._check_key.claim)
            self._is_claimed = True

    def _greet(self, rows: SharedRows) -> None:
        self._is_claimed = False  # it may be another server by now
        if not self._any_key:
            self._check_key(rows)
        self._clock_start = rows.time() - uptime()

    def now(self) -> float:
        return self._clock_start + uptime() if self._clock is None else self._clock()

    def _clock_warning(self) -> Iterator[str]:
        if self._clock is None and abs(ahead := time.time() - self.now()) > ODD_CLOCK:
            direction = "ahead of" if ahead > 0 else "behind"
            yield (
                f"has another clock: this machine's is {abs(ahead) / 3600:,.0f} hours {direction} it. Ages follow the "
                "server's; set this one right"
            )

    def _keep(self, rows: SharedRows) -> None:
        rows.keep(list(self._held), self._owner)

    @property
    def _owner(self) -> str:
        return f"{self._instance}-{self._holder}"

    def stats(self) -> CacheStats:
        (records, size), aside = self._looking.ask(lambda rows: (rows.size(), rows.quarantined()))
        return CacheStats(where=self.where, records=records, bytes=size, quarantined=aside)

    def rights(self) -> str:
        """What this user may do at the server that a cache does not need, and what to do; '' if nothing."""
        return self._looking.ask(lambda rows: rows.rights())

    def inspect(self) -> Contents:
        return self.clear(dry_run=True)

    def rows(self) -> Iterator[tuple[str, Row | Unreadable]]:
        return self._upkeep.rows()

    def add(self, rows: Mapping[str, Row]) -> Added:
        signed = {key: self._signer.close(key, row) for key, row in rows.items()}
        too_large = {key: len(row) for key, row in signed.items() if len(row) > LARGEST}
        fitting = {key: row for key, row in signed.items() if key not in too_large}
        kept = self._add(fitting) if fitting else {}
        return Added(rows=list(kept.values()).count(None), too_large=too_large)

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
        also = tuple(Unreadable) if unreadable else ()
        contents = self._upkeep.walk(
            lambda row: written_in(row) < limit or is_served_as(row, served), also=also, delete=not dry_run
        )
        if dry_run or not unreadable:
            return contents
        return replace(contents, aside=self._looking.ask(lambda rows: rows.clear_quarantine()))

    def forget(self, is_unwanted: Callable[[Row], bool]) -> Contents:
        return self._upkeep.walk(is_unwanted, also=[Unreadable.DAMAGED], delete=True)

    def clear(self, *, dry_run: bool = False) -> Contents:
        return self._upkeep.walk(lambda row: True, delete=not dry_run)

    def reseal(self, *, dry_run: bool = False) -> Contents:
        """Sign anew, with the first key, what the others have signed: what matches. Only the first is needed then."""
        return self._upkeep.reseal(dry_run=dry_run)

    def close(self) -> None:
        for connection in (self._looking, self._writing, self._leasing):
            connection.give_up()
        for thread in (self._reader, self._writer, self._leases):
            thread.close(timeout=self._patience)
        for connection in (self._looking, self._writing, self._leasing):
            connection.close()


def _add(signed: Mapping[str, bytes], rows: SharedRows) -> list[bytes | None]:
    return rows.add(signed)


def uptime() -> float:
    """Seconds by a clock that nobody sets and, where there is one, that goes on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    return time.monotonic() if clock is None else time.clock_gettime(clock)
