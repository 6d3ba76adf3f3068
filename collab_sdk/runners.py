"""Where the work on conversations is done: in this process, or wherever a plugin has it done."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from collab_sdk.chat.engine import Engine
from collab_sdk.concurrency import Outcome, over_conversations
from collab_sdk.types import Conversation

PLUGIN_GROUP = "collab_sdk.runners"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Job(Protocol[T_co]):
    """What is done with each conversation, in names and numbers: any process can make the same of it."""

    def work(self, engine: Engine) -> Callable[[Conversation], Awaitable[T_co]]:
        """What does it, with calls made by `engine`. Raises UsageError for what cannot work, before any call."""


class Runner(Protocol):
    """Does a job on conversations."""

    def run(self, job: Job[T], conversations: Iterable[Conversation]) -> AsyncIterator[Outcome[T]]:
        """An outcome for every conversation, in input order, as soon as they can; memory stays flat.

        Raises RunStoppedError if the run cannot go on, once all that was done has had its outcome.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerOptions:
    """Where a runner of a plugin finds its machines, and they their cache. None leaves the choice to it."""

    cache: str
    """What `open_cache` takes, as in the engine that comes with it."""
    address: str | None = None
    workers: int | None = None
    dashboard: bool = False


OpenRunner = Callable[[Engine, RunnerOptions], AbstractContextManager[Runner]]
"""What an entry point of the group `collab_sdk.runners` names.

The engine says which limits the run has; its ledger shows what all workers together have used. Raises
CollabError if there is nowhere to run.
"""


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
    return over_conversations(
        work, conversations, open_at_once=max(2, engine.limits.concurrency), settle=engine.asettle
    )
