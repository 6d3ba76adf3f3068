"""Calls that several wait for: who asks for what is being asked for already gets the same answer."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from collab_sdk.engine.replicas import Replicas
from collab_sdk.models.base import ChatReply

T = TypeVar("T")


class SharedCall(Generic[T]):
    """A call in a task of its own, so that of those who wait for it one that is cancelled does not take it down.

    When the last of them is cancelled, a call that was not sent yet is cancelled too; one that was `sent` goes on until
    its reply is kept, since it is paid for.
    """

    task: asyncio.Task[T]

    def __init__(self) -> None:
        self.sent = False
        self._waiting = 0

    def start(self, call: Coroutine[Any, Any, T]) -> None:
        self.task = asyncio.create_task(call)
        self.task.add_done_callback(_seen)

    async def result(self) -> T:
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            if self._waiting == 0 and not self.sent:
                self.task.cancel()


@dataclass(slots=True)
class SharedCalls(Generic[T]):
    """Those that are under way, by key."""

    _calls: dict[Hashable, SharedCall[T]] = field(default_factory=dict)

    def under_way(self, key: Hashable) -> SharedCall[T] | None:
        """The call of that key, unless it has been cancelled."""
        shared = self._calls.get(key)
        return None if shared is None or shared.task.cancelling() else shared

    def start(self, key: Hashable, call: Callable[[SharedCall[T]], Coroutine[Any, Any, T]]) -> SharedCall[T]:
        """Start a call of that key, which is under way until it has ended."""
        shared = self._calls[key] = SharedCall[T]()
        shared.start(call(shared))
        shared.task.add_done_callback(partial(self._forget, key, shared))
        return shared

    async def asettle(self) -> None:
        """Wait for all calls that are under way."""
        await asyncio.gather(*(shared.task for shared in self._calls.values()), return_exceptions=True)

    def _forget(self, key: Hashable, shared: SharedCall[T], _: object) -> None:
        if self._calls.get(key) is shared:  # and not one that started when this was cancelled
            del self._calls[key]


@dataclass(slots=True)
class LoopState(SharedCalls[ChatReply]):
    """What belongs to one event loop: a user's own loop and the shared one may both use an engine."""

    replicas: dict[Any, Replicas] = field(default_factory=dict)


def _seen(task: asyncio.Task[T]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waited has seen it; if nobody waits any more, nobody needs to
