"""Many conversations at once, in this process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import BudgetError, CollabError, RunStoppedError
from collab_sdk.runs.runner import Job, Outcome
from collab_sdk.types import Conversation

T = TypeVar("T")
HELD_BACK = 4


async def over_conversations(
    work: Callable[[Conversation], Awaitable[T]],
    conversations: Iterable[Conversation],
    *,
    open_at_once: int,
    settle: Callable[[], Awaitable[None]],
) -> AsyncIterator[Outcome[T]]:
    """Do `work` on every conversation, `open_at_once` at a time; outcomes come in input order, as soon as they can.

    Work begins in input order. Memory stays flat: at most `HELD_BACK` times as many are open or wait for one before
    them. An error of one conversation is its outcome, but for a RunStoppedError: after one, no other is opened any
    more. Those open are seen to their end if a budget is spent, since they may do without further calls; otherwise
    they are cancelled. What was done has its outcome still, and then the first such error is raised. However it ends,
    `settle` waits for what is still under way.
    """
    reader = iter(conversations)
    running: deque[tuple[Conversation, asyncio.Task[T]]] = deque()
    changed = asyncio.Event()
    pull: asyncio.Task[Conversation | None] | None = None
    stop: RunStoppedError | None = None
    at_work, exhausted = 0, False

    async def watched(conversation: Conversation) -> T:
        nonlocal stop
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
                    task = asyncio.create_task(watched(conversation))
                    task.add_done_callback(ended)
                    running.append((conversation, task))
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


class LocalRunner:
    """Does the work in this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, job: Job[T], conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[T]]:
        return run_here(job.work(self._engine), conversations, engine=self._engine)


def run_here(
    work: Callable[[Conversation], Awaitable[T]], conversations: Iterable[Conversation], *, engine: Engine
) -> AsyncIterator[Outcome[T]]:
    """`work` on every conversation, as many open as keep `engine` busy; outcomes are those of a Runner."""

    async def opened(conversation: Conversation) -> T:
        with engine.opened(conversation.id):
            return await work(conversation)

    return over_conversations(
        opened, conversations, open_at_once=max(2, engine.limits.concurrency), settle=engine.asettle
    )
