"""What the engine expects of a cache, and the one that lives in memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheStats:
    where: str
    """A directory, or a URL without its password."""
    records: int
    bytes: int


class KeptCache(Cache, Protocol):
    """A cache that outlives the process, with what it takes to look after it."""

    def stats(self) -> CacheStats: ...

    def rows(self) -> Iterator[tuple[str, Row]]:
        """All that can be read, by key."""

    def add(self, rows: Mapping[str, Row]) -> int:
        """Keep rows of another cache where the key is not taken; returns how many were."""

    def prune(self, older_than: float) -> int:
        """Delete records written more than `older_than` seconds ago, and unreadable ones; returns how many."""

    def forget(self, is_unwanted: Callable[[Row], bool]) -> int:
        """Delete records, and unreadable ones, so that no file has them any more; returns how many."""

    def clear(self) -> int:
        """Delete all records; returns how many."""

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
