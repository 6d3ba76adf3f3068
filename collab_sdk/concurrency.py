"""Waiting for many things at once without one failure hiding the others."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from collab_sdk.errors import CollabError, RunStoppedError
from collab_sdk.types import Conversation

T = TypeVar("T")


async def all_settled(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Their results in order, once every one has ended; then the first error, those that end the run before others."""
    results: list[Any] = await asyncio.gather(*awaitables, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in sorted(errors, key=lambda error: not isinstance(error, RunStoppedError)):
        raise error
    return results


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

    An error of one conversation is its outcome. After a RunStoppedError no further conversation is opened, and those
    open are seen to their end.
    """
    open_tasks: deque[asyncio.Task[Outcome[T]]] = deque()
    stopped = False

    async def outcome(conversation: Conversation) -> Outcome[T]:
        nonlocal stopped
        try:
            return Outcome(conversation=conversation, value=await work(conversation))
        except CollabError as error:
            stopped |= isinstance(error, RunStoppedError)
            return Outcome(conversation=conversation, error=error)

    def until_stopped() -> Iterator[Conversation]:
        for conversation in conversations:
            if stopped:
                return
            yield conversation

    try:
        for conversation in until_stopped():
            open_tasks.append(asyncio.create_task(outcome(conversation)))
            if len(open_tasks) >= open_at_once:
                yield await open_tasks[0]
                open_tasks.popleft()
        while open_tasks:
            yield await open_tasks[0]
            open_tasks.popleft()
    finally:
        for task in open_tasks:
            task.cancel()
