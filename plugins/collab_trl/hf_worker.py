"""One thread that owns a model, and answers in batches what has gathered since its last."""

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from collab_sdk.errors import CollabError, EndpointError
from collab_sdk.models import ChatReply, ChatRequest
from collab_sdk.secrets import one_line
from collab_trl.hf_files import Folder

if TYPE_CHECKING:
    from collab_trl.hf_batch import AnyWeights, Batcher

GATHER_SECONDS = 0.005
"""A batch starts when for so long no further request has come: those of one moment come one after another."""
UNWIND_SECONDS = 5.0
"""For the thread to come out of PyTorch, which does not bear the end of the interpreter."""


@dataclass(kw_only=True, slots=True, eq=False)
class Job:
    """A request, and where its reply is awaited."""

    request: ChatRequest
    seed: int
    adapter: Folder | None
    reply: "Future[ChatReply]" = field(default_factory=Future)
    prompt: Sequence[int] = ()
    """The request as tokens, once the worker has seen it."""
    answer: Sequence[int] = ()
    """The reply as tokens, once there is one."""

    def settle(self, outcome: ChatReply | CollabError) -> None:
        with suppress(InvalidStateError):  # given up by whoever waited
            if isinstance(outcome, CollabError):
                self.reply.set_exception(outcome)
            else:
                self.reply.set_result(outcome)


Jobs = SimpleQueue[Job | None]


class Worker:
    """Loads its model at its first job. The thread, and the model with it, go when the worker does.

    `name` is what errors call the model.
    """

    def __init__(self, load: "Callable[[], AnyWeights]", *, name: str) -> None:
        self._jobs: Jobs = SimpleQueue()
        ending = threading.Event()
        arguments = (load, name, self._jobs, ending)
        thread = threading.Thread(target=_work, args=arguments, name="collab-hf", daemon=True)
        thread.start()
        weakref.finalize(self, _end, self._jobs, ending, thread)

    def submit(self, job: Job) -> "Future[ChatReply]":
        self._jobs.put(job)
        return job.reply


def _end(jobs: Jobs, ending: threading.Event, thread: threading.Thread) -> None:
    ending.set()
    jobs.put(None)
    if thread is not threading.current_thread():
        thread.join(UNWIND_SECONDS)


def _work(load: "Callable[[], AnyWeights]", name: str, jobs: Jobs, ending: threading.Event) -> None:
    batcher: Batcher | None = None
    waiting: list[Job] = []
    while not ending.is_set():
        _gather(jobs, waiting)
        try:
            if batcher is None and waiting:
                batcher = _batcher(load, ending)
            if batcher is not None:
                batcher.answer(waiting)
        except Exception as error:  # of a model's own code, or of a device that is gone
            reason = f"{type(error).__name__}: {one_line(str(error), 200)}"
            failure = EndpointError(f"{name} failed: {reason}")
            for job in waiting:
                job.settle(error if isinstance(error, CollabError) else failure)
        waiting = [job for job in waiting if not job.reply.done()]


def _batcher(load: "Callable[[], AnyWeights]", ending: threading.Event) -> "Batcher":
    from collab_trl.hf_batch import Batcher

    return Batcher(load(), is_ending=ending.is_set)


def _gather(jobs: Jobs, waiting: list[Job]) -> None:
    """Add what comes until nothing more does; without anything to do, wait for it."""
    with suppress(Empty):
        while (job := jobs.get(timeout=GATHER_SECONDS if waiting else None)) is not None:
            waiting.append(job)
