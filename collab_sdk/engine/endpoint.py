"""What a run knows about one model: how many calls it bears, and whether it is there at all."""

from collections.abc import Callable
from dataclasses import dataclass, field

from collab_sdk.concurrency import open_order
from collab_sdk.engine.admission import Admission
from collab_sdk.engine.limits import RateLimiting
from collab_sdk.errors import BotError, CollabError, EndpointError, ModelCallError, TimedOutError

BROKEN_AFTER = 3
"""Failures after which a bot that never answered is given up."""
SILENT_AFTER = 10
"""Calls in a row, each given up after all its retries, after which an endpoint that did answer is given up."""
FIRST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds of rest after a first failure, and at most; they double in between."""
STOPPED_SECONDS = 1.0
"""How long a stopped endpoint refuses: the run that met it ends, and the next, with the right key, is let through."""


@dataclass(slots=True, eq=False)
class Endpoint:
    """The state of calls to one model, or to one replica of it."""

    name: str
    admission: Admission
    rate_limit: RateLimiting
    clock: Callable[[], float]
    proven: bool = False
    vouched_for: bool = False
    """A reply of it is in the cache, so a bot that raises is not broken altogether."""
    raised: int = 0
    raised_in: set[int] = field(default_factory=set)
    """In which conversations: one that a bot cannot stand must not end the run."""
    unanswered: int = 0
    """Calls in a row that no retry could save."""
    stopped: EndpointError | None = None
    retry_at: float = 0.0
    rests: int = 0
    """Times in a row that it was given a rest."""
    rests_until: float = float("-inf")

    @property
    def over(self) -> bool:
        """Whether it stopped a run that must have ended by now."""
        return self.stopped is not None and self.clock() >= self.retry_at

    @property
    def resting(self) -> bool:
        return self.clock() < self.rests_until

    @property
    def awake(self) -> bool:
        """Whether it may be asked: after a rest by one call at a time, until one is answered."""
        if self.stopped is not None or self.resting:
            return False
        return self.rests == 0 or self.admission.load == 0

    def rest(self) -> None:
        """It failed, and others can do its work for a while."""
        if not self.resting:  # and so not for a call that was under way when another failed
            self.rests_until = self.clock() + min(FIRST_REST * 2**self.rests, LONGEST_REST)
            self.rests += 1

    def give_up(self, error: EndpointError) -> None:
        self.stopped, self.retry_at = error, self.clock() + STOPPED_SECONDS

    def check(self) -> None:
        """Raise for the calls that queued up behind one that ended the run."""
        if self.stopped is not None:
            raise EndpointError(str(self.stopped))

    def answered(self, seconds: float | None = None) -> None:
        """A call was answered, in `seconds` if that is known."""
        self.proven = True
        self.unanswered = self.rests = 0
        self.admission.succeeded(seconds)

    def tried(self, error: CollabError, started: float) -> None:
        """One try, begun at `started`, failed."""
        if isinstance(error, ModelCallError) and error.rate_limited:
            self.admission.refused(started)
        elif isinstance(error, TimedOutError) or (isinstance(error, ModelCallError) and error.retryable):
            self.admission.troubled()

    def failed(self, error: CollabError) -> EndpointError | None:
        """A call failed for good: the error that ends the run, if it does.

        It does if the endpoint refuses, never answered and does not look like it will, or has stopped answering.
        """
        stop = error if isinstance(error, EndpointError) else None
        if isinstance(error, TimedOutError) or (isinstance(error, ModelCallError) and error.retryable):
            self.unanswered += 1
            if not self.proven:
                stop = EndpointError(f"{self.name} has never answered; the run stops. {error}")
            elif self.unanswered >= SILENT_AFTER:
                stop = EndpointError(f"{self.name} has stopped answering; the run stops. {error}")
        elif isinstance(error, BotError):
            self.raised += 1
            self.raised_in.add(open_order.get())
            broken = self.raised >= BROKEN_AFTER and len(self.raised_in) > 1
            if broken and not self.proven and not self.vouched_for:
                stop = EndpointError(f"{self.name} has never answered; the run stops. {error}")
        elif isinstance(error, ModelCallError):
            self.answered()  # with nothing of use for this one call, but it is there
        if stop is not None:
            self.give_up(stop)
        return stop
