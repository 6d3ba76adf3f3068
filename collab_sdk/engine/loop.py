"""One long-lived event loop behind the sync methods; an `asyncio.run` a call would leak a client pool each time."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from functools import cache
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from collab_sdk.concurrency import DaemonThreads
from collab_sdk.errors import UsageError

T = TypeVar("T")
C = TypeVar("C", bound=type)
UNWIND_SECONDS = 5.0


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
