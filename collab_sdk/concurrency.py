"""Waiting for many things at once without one failure hiding the others."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, TypeVar

from collab_sdk.errors import BudgetError, CollabError, RunStoppedError
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
    work: Callable[[Conversation], Awaitable[T]],
    conversations: Iterable[Conversation],
    *,
    open_at_once: int,
    settle: Callable[[], Awaitable[None]],
) -> AsyncIterator[Outcome[T]]:
    """Do `work` on every conversation, `open_at_once` at a time; outcomes come in input order, as soon as they can.

    Memory stays flat: at most `HELD_BACK` times as many are open or wait for one before them. An error of one
    conversation is its outcome, but for a RunStoppedError: after one, no other is opened any more. Those open are seen
    to their end if a budget is spent, since they may do without further calls; otherwise they are cancelled. What was
    done has its outcome still, and then the first such error is raised. However it ends, `settle` waits for what is
    still under way.
    """
    reader = iter(conversations)
    running: deque[tuple[Conversation, asyncio.Task[T]]] = deque()
    changed = asyncio.Event()
    pull: asyncio.Task[Conversation | None] | None = None
    stop: RunStoppedError | None = None
    order, at_work, exhausted = 0, 0, False

    async def in_order(order: int, conversation: Conversation) -> T:
        nonlocal stop
        open_order.set(order)
        try:
            return await work(conversation)
        except RunStoppedError as error:  # noted here: a callback of the task may come after its outcome was looked at
            if stop is None:
                stop = error
                if not isinstance(error, BudgetError):
                    for _, other in running:
                        other.cancel()
            raise

    def ended(_: asyncio.Task[T]) -> None:
        nonlocal at_work
        at_work -= 1
        changed.set()

    def outcome(conversation: Conversation, task: asyncio.Task[T]) -> Outcome[T] | None:
        """None for one that the end of the run has cut short."""
        if task.cancelled():
            return None
        try:
            return Outcome(conversation=conversation, value=task.result())
        except RunStoppedError:
            return None
        except CollabError as error:
            return Outcome(conversation=conversation, error=error)

    try:
        while True:
            changed.clear()
            if pull is not None and pull.done():
                conversation, pull = pull.result(), None
                exhausted = conversation is None
                if conversation is not None and stop is None:
                    at_work += 1
                    task = asyncio.create_task(in_order(order, conversation))
                    task.add_done_callback(ended)
                    running.append((conversation, task))
                    order += 1
            while running and running[0][1].done():
                if (one := outcome(*running.popleft())) is not None:
                    yield one
            may_open = at_work < open_at_once and len(running) < HELD_BACK * open_at_once
            if pull is None and may_open and stop is None and not exhausted:
                # In a thread: the next chat may be a while in coming, from a pipe or a slow disk.
                pull = asyncio.create_task(asyncio.to_thread(next, reader, None))
                pull.add_done_callback(lambda _: changed.set())
            if not running and (pull is None or stop is not None):
                break
            await changed.wait()
    finally:
        for _, task in running:
            task.cancel()
        if pull is not None:
            pull.cancel()
        await settle()
    if stop is not None:
        raise stop
