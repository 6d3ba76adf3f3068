"""One thread that does in groups what the event loop must not wait for."""

import asyncio
import os
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Asked = tuple[T, asyncio.Future[R] | None]
"""An item, and where its result goes if anybody waits for it."""
Queue = SimpleQueue[Asked[T, R] | None]
GROUP = 512
AT_A_TIME = 16


class BatchThread(Generic[T, R]):
    """Works off whatever has gathered since it last did, all at once, and only then answers.

    So a commit that is as durable as a disk allows, or a trip to a server, costs little, and the event loop never waits
    for either. `work` gets items in the order in which they came and returns as many results. With `every`, in seconds,
    it gets an empty group when none came for so long.
    """

    def __init__(
        self, work: Callable[[list[T]], list[R]], *, name: str, at_most: int = GROUP, every: float | None = None
    ) -> None:
        self._work = work
        self._name = name
        self._at_most = at_most
        self._every = every
        self._queue: Queue[T, R] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process = 0

    async def do(self, item: T) -> R:
        """The result for `item`. Raises what `work` raises."""
        self._start()
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.put((item, answer))
        return await answer

    def tell(self, item: T) -> None:
        """Have `item` done without waiting for it."""
        self._start()
        self._queue.put((item, None))

    def close(self, timeout: float | None = None) -> None:
        """Do what is waiting and end the thread; a thread that hangs for `timeout` seconds is left alone."""
        if self._thread is not None and self._process == os.getpid():
            self._queue.put(None)
            self._thread.join(timeout)
            self._process = 0

    def _start(self) -> None:
        if self._process != os.getpid():  # the first item, here or in a fork, which inherits no threads
            self._queue, self._process = SimpleQueue(), os.getpid()
            self._thread = threading.Thread(target=self._run, args=(self._queue,), name=self._name, daemon=True)
            self._thread.start()

    def _run(self, queue: "Queue[T, R]") -> None:
        while (group := self._next_group(queue)) is not None:
            failure: Exception | None = None
            results: list[Any] = [None] * len(group)
            try:
                results = self._work([item for item, _ in group])
            except Exception as error:
                failure = error
            by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[R], R]]] = {}
            for (_, answer), result in zip(group, results, strict=True):
                if answer is not None:
                    by_loop.setdefault(answer.get_loop(), []).append((answer, result))
            for loop, answers in by_loop.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(partial(_answer, loop, answers, failure))

    def _next_group(self, queue: "Queue[T, R]") -> "list[Asked[T, R]] | None":
        try:
            first = queue.get(timeout=self._every)
        except Empty:
            return []
        if first is None:
            return None
        group = [first]
        try:
            while len(group) < self._at_most:
                following = queue.get_nowait()
                if following is None:
                    queue.put(None)  # after this group
                    break
                group.append(following)
        except Empty:
            pass
        return group


def _answer(
    loop: asyncio.AbstractEventLoop, answers: "list[tuple[asyncio.Future[R], R]]", failure: Exception | None
) -> None:
    """A few at a time: whoever waited goes on at once, and all together would hold up the loop."""
    if len(answers) > AT_A_TIME:
        loop.call_soon(_answer, loop, answers[AT_A_TIME:], failure)
    for future, result in answers[:AT_A_TIME]:
        if future.done():  # whoever waited was cancelled
            continue
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)
