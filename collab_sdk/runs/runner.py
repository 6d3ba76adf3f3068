"""Where the work on conversations is done: in this process, or wherever a plugin has it done."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import CollabError
from collab_sdk.spec import RunnerSpec
from collab_sdk.types import Conversation

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome(Generic[T]):
    """What became of one conversation: a value or an error."""

    conversation: Conversation
    value: T | None = None
    error: CollabError | None = None


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


OpenRunner = Callable[[Engine, RunnerSpec, str], AbstractContextManager[Runner]]
"""What an entry point of the group `collab_sdk.runners` names.

It is called with the engine, the spec, and where replies are kept, as `open_cache` takes it. The engine says which
limits the run has; its ledger shows what all workers together have used. Raises CollabError if there is nowhere to run.
"""
