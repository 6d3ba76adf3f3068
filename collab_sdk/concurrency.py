"""Between sync code and async: many things awaited at once, what blocks called from an event loop, and the reverse.

The sync methods share one long-lived event loop; an `asyncio.run` a call would leak a client pool each time.
"""

import asyncio
import contextvars
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from inspect import iscoroutinefunction
from queue import SimpleQueue
from typing import Any, TypeVar

from collab_sdk.errors import RunStoppedError, UsageError

__all__ = ["DaemonThreads", "OneThread", "all_settled", "in_thread", "run_sync", "sync_twins"]

T = TypeVar("T")
C = TypeVar("C", bound=type)
UNWIND_SECONDS = 5.0
SIGNAL_SECONDS = 0.5
"""After which a signal is noticed that another thread was handed."""


async def all_settled(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Their results in order, once every one has ended; then the first error, those that end the run before others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.gather(*tasks, return_exceptions=True)
    errors = [error for task in tasks if (error := task.exception()) is not None]
    for error in sorted(errors, key=lambda error: not isinstance(error, RunStoppedError)):
        raise error
    return [task.result() for task in tasks]


async def in_thread(function: Callable[[], Any]) -> Any:
    """Run a sync bot in a thread of its own; one that hangs cannot keep the process alive. Admission bounds them."""
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


class OneThread:
    """A thread that runs one thing after the other, for objects that may be used in the thread that made them alone."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns or raises; one that hangs cannot keep the process alive."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="collab-tools", daemon=True)
            self._thread.start()
        future: Future[Any] = Future()
        self._jobs.put((future, contextvars.copy_context().run, (_without_stop, function), {}))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the thread, once it has done what it was given."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _run(*job)


def _without_stop(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except StopIteration as error:  # a Future cannot carry it
        raise RuntimeError(f"StopIteration: {error}") from error


def _run(future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)


@cache
def _background_loop(pid: int) -> asyncio.AbstractEventLoop:
    # Keyed by process: a fork inherits the loop object but not the thread that turns it.
    loop = asyncio.new_event_loop()
    loop.set_default_executor(DaemonThreads())
    threading.Thread(target=_turn, args=(loop,), name=f"collab-loop-{pid}", daemon=True).start()
    return loop


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
            return
        except (KeyboardInterrupt, SystemExit):
            pass  # sys.exit() in a task that a bot started; asyncio hands it to whoever awaits the task, and stops


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on the shared loop and wait for its result.

    Raises UsageError inside a running event loop, naming the method to await instead.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        name = getattr(coroutine, "__qualname__", "the async form")
        coroutine.close()
        raise UsageError(f"An event loop is already running here: use `await {name}(...)` instead.")

    unwound = threading.Event()

    async def main() -> T:
        try:
            return await coroutine
        finally:
            unwound.set()

    future = asyncio.run_coroutine_threadsafe(main(), _background_loop(os.getpid()))
    try:
        # A signal may be handed to another thread, which does not wake this one: without a timeout, Ctrl-C would wait.
        while not wait([future], timeout=SIGNAL_SECONDS).done:
            pass
        return future.result()
    except BaseException:
        if future.cancel():  # Ctrl-C: let files be closed before the caller goes on
            unwound.wait(UNWIND_SECONDS)
        raise


def sync_twins(cls: C) -> C:
    """Decorates a class: each method that has an async twin, such as `score` of `ascore`, gets its docstring."""
    methods = vars(cls)
    for name, method in methods.items():
        twin = methods.get(f"a{name}")
        if iscoroutinefunction(twin) and not method.__doc__:
            method.__doc__ = twin.__doc__
    return cls
