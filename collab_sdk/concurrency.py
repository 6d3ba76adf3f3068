"""Waiting for many things at once, and calling what blocks from the event loop."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

from collab_sdk.errors import RunStoppedError

__all__ = ["DaemonThreads", "all_settled", "in_thread"]

T = TypeVar("T")


async def all_settled(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Their results in order, once every one has ended; then the first error, those that end the run before others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.gather(*tasks, return_exceptions=True)
    errors = [error for task in tasks if (error := task.exception()) is not None]
    for error in sorted(errors, key=lambda error: not isinstance(error, RunStoppedError)):
        raise error
    return [task.result() for task in tasks]


async def in_thread(function: Callable[[], Any]) -> Any:
    """Run a sync bot in a thread of its own: the gate bounds them, and one that hangs cannot keep the process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: Any, error: BaseException | None) -> None:
        if future.done():  # timed out or cancelled
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def run() -> None:
        value: Any = None
        failure: BaseException | None = None
        try:
            value = context.run(function)
        except StopIteration as error:  # a Future cannot carry it
            failure = RuntimeError(f"StopIteration: {error}")
        except BaseException as error:
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=run, name="collab-bot", daemon=True).start()
    return await future


Job = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class DaemonThreads(ThreadPoolExecutor):
    """A thread for each call in progress, used again: for libraries that use the loop's executor (LangChain, LiteLLM).

    LiteLLM goes through it for every call; to start a thread each time halves the calls a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._resting: list[SimpleQueue[Job]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            jobs = self._resting.pop()
        except IndexError:
            jobs = SimpleQueue()
            threading.Thread(target=self._work, args=(jobs,), name="collab-bot", daemon=True).start()
        jobs.put((future, function, args, kwargs))
        return future

    def _work(self, jobs: "SimpleQueue[Job]") -> None:
        while True:
            _run(*jobs.get())
            self._resting.append(jobs)


def _run(future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)
