"""Every error this package raises.

CollabError
├── UsageError                 the call cannot work as written: an option, a name, a missing goal
│   ├── UnknownNameError       a metric, format or bot nobody registered; lists the known ones
│   └── MissingExtraError      an optional dependency is absent; names the pip command
├── InputError                 a log file, line or chat cannot be read; says where
│   └── NotALogError           a file can hold no chats at all, such as a picture in the folder of an export
├── OutputError                a file cannot be written
├── StoreError                 a conversation store cannot be read or written
├── SampleError                one sample is lost; the others go on
│   ├── ModelCallError         the endpoint answered with an error, after retries
│   │   ├── TimedOutError      it gave no answer in time
│   │   ├── FilteredError      it refuses this one chat for its content
│   │   └── ParameterRefusedError   it does not take a parameter of the request
│   ├── BotError               the user's own bot raised or returned something that is no reply
│   ├── EmptyReplyError        a model answered with nothing
│   ├── TruncatedReplyError    a model ran into its token limit
│   ├── UnreadableReplyError   a judge or simulator did not answer in the form asked for
│   ├── UserFaultError     the simulated user said what no user would say; `fault` says in which way
│   └── SandboxError           a model's code could not be run, and so not be judged
├── NotEnoughSamplesError      too many samples were lost for a score
├── TrainingError              a training cannot go on with these settings; names the next to try
└── RunStoppedError            the whole run ends; what was paid for is kept
    ├── BudgetError            max_calls or max_usd is reached
    ├── InterruptedRunError    the person who plays the user ends it
    ├── RunnerError            the machines that do the work cannot be had, or are lost
    ├── CacheError             replies cannot be kept
    │   └── LostConnectionError   a shared cache's server does not answer; it is asked again for a while
    └── EndpointError          the provider refuses the key or model, or has never answered
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Self

__all__ = [
    "BotError",
    "BudgetError",
    "CacheError",
    "CollabError",
    "EmptyReplyError",
    "EndpointError",
    "FilteredError",
    "InputError",
    "InterruptedRunError",
    "LostConnectionError",
    "MissingExtraError",
    "ModelCallError",
    "NotALogError",
    "NotEnoughSamplesError",
    "OutputError",
    "ParameterRefusedError",
    "RunStoppedError",
    "RunnerError",
    "SampleError",
    "SandboxError",
    "StoreError",
    "TimedOutError",
    "ToolError",
    "TrainingError",
    "TruncatedReplyError",
    "UnknownNameError",
    "UnreadableReplyError",
    "UsageError",
    "UserFaultError",
    "closest",
    "did_you_mean",
]


class CollabError(Exception):
    """Base of every error raised on purpose by this package."""


class UsageError(CollabError):
    """The call cannot work as written."""


LISTED = 30
"""So many names are listed beside a suggestion."""
CLOSE = 0.6
"""How alike two names are, of 1, for one to be a slip of the other."""


def closest(name: str, known: Iterable[str], *, cutoff: float = CLOSE) -> str | None:
    """The one of the `known` names that `name` is likely to be a slip of; None where none is, or where it is known."""
    found = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found and found[0] != name else None


def did_you_mean(meant: str | None, *, after: str = "") -> str:
    """` Did you mean 'goal'?` to go behind a sentence, or `after` something within one; empty for None."""
    if meant is None:
        return ""
    return f"{after}did you mean {meant!r}?" if after else f" Did you mean {meant!r}?"


class UnknownNameError(UsageError):
    """A name that nobody registered."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> Self:
        """`kind` is the word for what was looked up; `known` are the valid names."""
        names = sorted(known)
        meant = closest(name, names)
        listed = f" Known: {', '.join(names)}." if meant is None or len(names) <= LISTED else ""
        return cls(f"Unknown {kind} {name!r}.{did_you_mean(meant)}{listed}")


class MissingExtraError(UsageError, ImportError):
    """An optional dependency is not installed. An ImportError too, since importing a plugin may raise it."""

    @classmethod
    def of(cls, what: str, extra: str) -> Self:
        return cls(f"{what}: pip install 'collab-sdk[{extra}]'")


class InputError(CollabError):
    """A log cannot be read; `where` is `file:line`, as far as known."""

    def __init__(self, problem: str, *, where: str = "") -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.problem = problem
        self.where = where


class NotALogError(InputError):
    """A file can hold no chats at all, whatever it is; one of many in a folder or archive may be."""


class OutputError(CollabError):
    """A file cannot be written."""


class StoreError(CollabError):
    """A conversation store cannot be read or written; what was stored before is still there."""


class SampleError(CollabError):
    """One sample is lost; it is reported as missing and never becomes a score."""


class ToolError(SampleError):
    """A call of a tool has no result that could stand in a conversation, or nobody to run it."""


class ModelCallError(SampleError):
    """A model call failed. `retryable`, `retry_after` (seconds) and `rate_limited` steer retries and concurrency.

    `tries` is how many tries make sense, where that is fewer than usual: what went wrong rarely goes by.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        rate_limited: bool = False,
        tries: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        self.rate_limited = rate_limited
        self.tries = tries


class TimedOutError(ModelCallError):
    """A model gave no answer in time. It is not asked again: a redraw would favour short answers."""


class FilteredError(ModelCallError):
    """A provider refuses this one chat for its content: of a bot, its user gets nothing."""


class ParameterRefusedError(ModelCallError):
    """A server does not take `parameter`: a setting by its name, `response_format`, or the role `system`."""

    def __init__(self, message: str, *, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class BotError(SampleError):
    """The user's own bot raised, or returned something that is no reply."""


class EmptyReplyError(SampleError):
    """A model answered with nothing."""


class TruncatedReplyError(SampleError):
    """A model's reply ran into its token limit."""


class UnreadableReplyError(SampleError):
    """A judge or simulator did not answer in the form it was asked for, twice."""


class UserFaultError(SampleError):
    """The simulated user said what no user would say. `fault` is the kind: see `collab_sdk.simulator.Fault`."""

    def __init__(self, message: str, *, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


class SandboxError(SampleError):
    """A model's code could not be run, through no fault of its own."""


class NotEnoughSamplesError(CollabError):
    """Too few samples succeeded for a score."""


class TrainingError(CollabError):
    """A training cannot go on with these settings."""


class RunStoppedError(CollabError):
    """The whole run ends here; everything paid for so far is in the cache."""


class BudgetError(RunStoppedError):
    """`max_calls` or `max_usd` is reached."""


class InterruptedRunError(RunStoppedError):
    """The person who plays the user ends the run, as Ctrl-C would."""


class RunnerError(RunStoppedError):
    """The machines that do the work cannot be had, or are lost; what was paid for is in the cache."""


class CacheError(RunStoppedError):
    """The cache cannot be read or written; without it, what is paid for would be lost."""


class LostConnectionError(CacheError):
    """The server of a shared cache cannot be reached, or has gone in the middle of a question.

    With `is_full` it is there, but has no connection left to give.
    """

    def __init__(self, message: str, *, is_full: bool = False) -> None:
        super().__init__(message)
        self.is_full = is_full


class EndpointError(RunStoppedError):
    """The provider refuses the key or the model, or has never answered."""
