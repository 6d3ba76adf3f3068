"""What the engine expects of a cache, and the one that lives in memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

from collab_sdk.cache.contents import Added, CacheStats, Contents, Unreadable
from collab_sdk.cache.record import Row
from collab_sdk.models.base import ChatReply

UNREADABLE = (ValueError, RecursionError)
"""What reading a row raises that this package did not write."""


class Cache(Protocol):
    """Where the engine keeps replies, by key. What `aput` acknowledged, a later `aget` finds."""

    quarantined: int
    """Rows that were refused as corrupt or hostile, and counted as misses."""

    async def aget(self, key: str) -> ChatReply | None: ...

    async def aput(self, key: str, reply: ChatReply, *, request: Mapping[str, Any]) -> ChatReply:
        """Keep `reply`, which answers `request`; returns the reply that is kept, which is the first that was put."""

    def lease(self, key: str) -> AbstractAsyncContextManager[None]:
        """Held by whoever makes the call of `key`; others who share the cache wait for it."""


class KeptCache(Cache, Protocol):
    """A cache that outlives the process, with what it takes to look after it."""

    where: str
    """A directory, or a URL without its password."""

    def stats(self) -> CacheStats:
        """Its size, without a look at the records."""

    def inspect(self) -> Contents:
        """Read all records: how many can be read, and why others cannot."""

    def rows(self) -> Iterator[tuple[str, Row | Unreadable]]:
        """All records by key; of those that cannot be read, why."""

    def add(self, rows: Mapping[str, Row]) -> Added:
        """Keep rows of another cache where the key is not taken, but none that is larger than this one may hold."""

    def now(self) -> float:
        """The time by the cache's own clock, in seconds since 1970."""

    def prune(
        self,
        older_than: float | None,
        *,
        now: float | None = None,
        unreadable: bool = False,
        served: str | None = None,
        dry_run: bool = False,
    ) -> Contents:
        """Delete records written more than `older_than` seconds before `now`, by the cache's own clock.

        With `unreadable`, also what cannot be read, and what was moved aside as that; it is kept otherwise. With
        `served`, also that replicas are taken for the model of that name. With `dry_run` nothing is deleted, and only
        counted.
        """

    def forget(self, is_unwanted: Callable[[Row], bool]) -> Contents:
        """Delete records, and damaged ones, so that no file has them any more."""

    def clear(self, *, dry_run: bool = False) -> Contents:
        """Delete all that can be read."""

    def close(self) -> None: ...


class MemoryCache:
    """For one process, nothing on disk."""

    def __init__(self) -> None:
        self.quarantined = 0
        self._replies: dict[str, ChatReply] = {}

    async def aget(self, key: str) -> ChatReply | None:
        return self._replies.get(key)

    async def aput(self, key: str, reply: ChatReply, *, request: Mapping[str, Any]) -> ChatReply:
        return self._replies.setdefault(key, reply)

    def lease(self, key: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()
