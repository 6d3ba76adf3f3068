"""One thread that owns a model, and answers in batches what has gathered since its last."""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from collab_sdk.errors import CollabError, EndpointError
from collab_sdk.models import ChatReply
from collab_sdk.secrets import one_line
from collab_trl.hf.pending import PendingReply

if TYPE_CHECKING:
    from collab_trl.hf.batch import AnyWeights, Batcher

GATHER_SECONDS = 0.005
"""A batch starts when for so long no further request has come: those of one moment come one after another."""
UNWIND_SECONDS = 5.0
"""For the thread to come out of PyTorch, which does not bear the end of the interpreter."""
PendingReplies = SimpleQueue[PendingReply | None]


class ModelThread:
    """Loads its model at its first request. The thread, and the model with it, go when the worker does.

    `name` is what errors call the model.
    """

    def __init__(self, load: "Callable[[], AnyWeights]", *, name: str) -> None:
        self._queue: PendingReplies = SimpleQueue()
        ending = threading.Event()
        arguments = (load, name, self._queue, ending)
        thread = threading.Thread(target=_work, args=arguments, name="collab-hf", daemon=True)
        thread.start()
        weakref.finalize(self, _end, self._queue, ending, thread)

    def submit(self, pending: PendingReply) -> "Future[ChatReply]":
        self._queue.put(pending)
        return pending.reply


def _end(queue: PendingReplies, ending: threading.Event, thread: threading.Thread) -> None:
    ending.set()
    queue.put(None)
    if thread is not threading.current_thread():
        thread.join(UNWIND_SECONDS)


def _work(load: "Callable[[], AnyWeights]", name: str, queue: PendingReplies, ending: threading.Event) -> None:
    batcher: Batcher | None = None
    waiting: list[PendingReply] = []
    while not ending.is_set():
        _gather(queue, waiting)
        try:
            if batcher is None and waiting:
                batcher = _batcher(load, ending)
            if batcher is not None:
                batcher.answer(waiting)
        except BaseException as error:  # of a device that is gone, or a panic of Rust's, which is no Exception
            batcher = None  # an adapter that failed half-way may have changed the model: it is loaded again
            reason = f"{type(error).__name__}: {one_line(str(error), 200)}"
            failure = EndpointError(f"{name} failed: {reason}")
            for pending in waiting:
                pending.settle(error if isinstance(error, CollabError) else failure)
        waiting = [pending for pending in waiting if not pending.reply.done()]


def _batcher(load: "Callable[[], AnyWeights]", ending: threading.Event) -> "Batcher":
    from collab_trl.hf.batch import Batcher

    return Batcher(load(), is_ending=ending.is_set)


def _gather(queue: PendingReplies, waiting: list[PendingReply]) -> None:
    """Add what comes until nothing more does; without anything to do, wait for it."""
    with suppress(Empty):
        while (pending := queue.get(timeout=GATHER_SECONDS if waiting else None)) is not None:
            waiting.append(pending)
