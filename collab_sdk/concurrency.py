"""Waiting for many things at once without one failure hiding the others."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, TypeVar

from collab_sdk.errors import CollabError, RunStoppedError
from collab_sdk.types import Conversation

T = TypeVar("T")
open_order: ContextVar[int] = ContextVar("open_order", default=0)
"""When the conversation that is being worked on was opened: calls for the first opened go first."""
HELD_BACK = 4


async def all_settled(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Their results in order, once every one has ended; then the first error, those that end the run before others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.gather(*tasks, return_exceptions=True)
    errors = [error for task in tasks if (error := task.exception()) is not None]
    for error in sorted(errors, key=lambda error: not isinstance(error, RunStoppedError)):
        raise error
    return [task.result() for task in tasks]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome(Generic[T]):
    """What became of one conversation: a value or an error."""

    conversation: Conversation
    value: T | None = None
    error: CollabError | None = None


async def over_conversations(
    work: Callable[[Conversation], Awaitable[T]], conversations: Iterable[Conversation], *, open_at_once: int
) -> AsyncIterator[Outcome[T]]:
    """Do `work` on every conversation, `open_at_once` at a time; outcomes come in input order.

    A conversation that ends makes room for the next at once, whichever it is; one that is far behind holds up opening
    only when `HELD_BACK` times as many have ended behind it, so memory stays flat. An error of one conversation is its
    outcome. After a RunStoppedError none is opened any more, and those open are seen to their end.
    """
    tasks: deque[asyncio.Task[Outcome[T]]] = deque()
    room = asyncio.Semaphore(open_at_once)
    stopped = False

    async def outcome(order: int, conversation: Conversation) -> Outcome[T]:
        nonlocal stopped
        open_order.set(order)
        try:
            return Outcome(conversation=conversation, value=await work(conversation))
        except CollabError as error:
            stopped |= isinstance(error, RunStoppedError)
            return Outcome(conversation=conversation, error=error)
        finally:
            room.release()

    try:
        for order, conversation in enumerate(conversations):
            await room.acquire()
            if stopped:
                break
            tasks.append(asyncio.create_task(outcome(order, conversation)))
            while tasks and (tasks[0].done() or len(tasks) >= HELD_BACK * open_at_once):
                yield await tasks[0]
                tasks.popleft()
        while tasks:
            yield await tasks[0]
            tasks.popleft()
    finally:
        for task in tasks:
            task.cancel()
