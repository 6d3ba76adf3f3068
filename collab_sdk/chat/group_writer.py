"""One thread that commits in groups."""

import asyncio
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
GROUP = 512


class GroupWriter(Generic[T]):
    """Commits whatever has gathered since its last commit, all at once, and only then acknowledges it.

    So a commit that is as durable as the disk allows costs little, and the event loop never waits for another process's
    lock.
    """

    def __init__(self, commit: Callable[[list[T]], None], *, name: str) -> None:
        self._commit = commit
        self._name = name
        self._queue: SimpleQueue[tuple[T, asyncio.Future[None]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process = 0

    async def write(self, item: T) -> None:
        """Returns when `item` is committed. Raises what `commit` raises."""
        if self._process != os.getpid():  # the first write, here or in a fork, which inherits no threads
            self._queue, self._process = SimpleQueue(), os.getpid()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        acknowledged = asyncio.get_running_loop().create_future()
        self._queue.put((item, acknowledged))
        await acknowledged

    def close(self) -> None:
        """Commit what is waiting and end the thread."""
        if self._thread is not None and self._process == os.getpid():
            self._queue.put(None)
            self._thread.join()
            self._process = 0

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            failure: Exception | None = None
            try:
                self._commit([item for item, _ in group])
            except Exception as error:
                failure = error
            by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
            for _, acknowledged in group:
                by_loop.setdefault(acknowledged.get_loop(), []).append(acknowledged)
            for loop, waiting in by_loop.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_acknowledge, waiting, failure)

    def _next_group(self) -> list[tuple[T, "asyncio.Future[None]"]] | None:
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        try:
            while len(group) < GROUP:
                following = self._queue.get_nowait()
                if following is None:
                    self._queue.put(None)  # after this group
                    break
                group.append(following)
        except Empty:
            pass
        return group


def _acknowledge(waiting: list["asyncio.Future[None]"], failure: Exception | None) -> None:
    for future in waiting:
        if future.done():  # whoever waited was cancelled
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
