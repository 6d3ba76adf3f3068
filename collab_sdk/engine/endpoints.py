"""What a run knows of one server that answers for a model."""

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from collab_sdk.engine.admission import Admission
from collab_sdk.engine.limits import RateLimiting
from collab_sdk.errors import BotError, CollabError, EndpointError, ModelCallError, TimedOutError
from collab_sdk.models.base import ChatModel
from collab_sdk.models.providers import ApiKey

BROKEN_AFTER = 3
"""Failures after which a bot that never answered is given up."""
SILENT_AFTER = 10
"""Calls in a row, each given up after all its retries, after which an endpoint that did answer is given up."""
FIRST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds of rest after a first failure, and at most; they double in between."""
STOPPED_SECONDS = 1.0
"""How long a stopped endpoint refuses: the run that met it ends, and the next, with the right key, is let through."""
LIMITED_SECONDS = 60.0
"""After how many seconds of waiting for a rate limit it is said; and again whenever they have doubled."""
DOUBTS = 3
"""Answers of no use, in a row, after which a replica is left out where another answers the same call."""


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
    raised_in: set[str] = field(default_factory=set)
    """In which conversations, two at most: one that a bot cannot stand must not end the run."""
    unanswered: int = 0
    """Calls in a row that no retry could save."""
    stopped: EndpointError | None = None
    retry_at: float = 0.0
    rests: int = 0
    """Times in a row that it was given a rest."""
    rests_until: float = float("-inf")
    doubts: int = DOUBTS
    """Answers in a row that were of no use: a replica has no credit before its first good one."""
    useful: bool = False
    """Whether it has given an answer of use."""
    failing_since: float | None = None
    """Since when it has not answered at all."""
    left_out: str = ""
    """Why it is left out for now, as one replica of several."""
    refuses: bool = False
    """Whether that is since it takes no call of this user's."""
    told: set[str] = field(default_factory=set)
    """The kinds of problems for which that was said."""
    served: str = ""
    """The model that it says it is; the name that was asked for where the two are the same."""
    limited_until: float = float("-inf")
    """When the last call that met its rate limit is tried again."""
    limited_seconds: float = 0.0
    """In which calls waited for that."""
    limit_told: float = LIMITED_SECONDS

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

    @property
    def trusted(self) -> bool:
        """Whether its last answers were of use."""
        return self.doubts < DOUBTS

    def rest(self) -> None:
        """It failed, and others can do its work for a while."""
        if not self.resting:  # and so not for a call that was under way when another failed
            self.rests_until = self.clock() + min(FIRST_REST * 2**self.rests, LONGEST_REST)
            self.rests += 1

    def absolve(self) -> None:
        """Others have answered as it did: it need not rest for that."""
        if not self.left_out:
            self.rests, self.rests_until = 0, float("-inf")

    def give_up(self, error: EndpointError) -> None:
        self.stopped, self.retry_at = error, self.clock() + STOPPED_SECONDS

    def check(self) -> None:
        """Raise for the calls that queued up behind one that ended the run."""
        if self.stopped is not None:
            raise EndpointError(str(self.stopped))

    def answered(self, seconds: float | None = None) -> None:
        """A call was answered, with whatever it may be, in `seconds` if that is known."""
        self.proven = True
        self.failing_since = None
        self.unanswered = 0
        self.admission.succeeded(seconds)

    def recovered(self) -> None:
        """An answer was of use: it is trusted, and asked as others are."""
        self.useful = True
        self.refuses = False
        self.rests = self.doubts = 0
        self.left_out = ""

    def tried(self, error: CollabError, started: float) -> None:
        """One try, begun at `started`, failed."""
        if isinstance(error, ModelCallError) and error.rate_limited:
            self.admission.refused(started)
        elif isinstance(error, TimedOutError) or (isinstance(error, ModelCallError) and error.retryable):
            self.admission.troubled()

    def limited(self, pause: float) -> float:
        """A call that met the rate limit waits for `pause` seconds; returns how many of them no other waits through.

        Whoever looks on is told after a minute, for nothing else says why the run is slow.
        """
        now = self.clock()
        waited = self.limited_seconds - max(0.0, self.limited_until - now)
        if waited >= self.limit_told:
            while waited >= self.limit_told:
                self.limit_told *= 2
            warnings.warn(
                f"{self.name} limits the rate of calls (429): they have waited for {waited / 60:.0f} min by now. The "
                "run goes on as fast as the limit allows; --requests-per-minute or --tokens-per-minute keeps to one "
                "that is known.",
                stacklevel=2,
            )
        added = max(0.0, now + pause - max(now, self.limited_until))
        self.limited_until = max(self.limited_until, now + pause)
        self.limited_seconds += added
        return added

    def failed(self, error: CollabError, conversation_id: str) -> EndpointError | None:
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
            if len(self.raised_in) < 2:
                self.raised_in.add(conversation_id)
            broken = self.raised >= BROKEN_AFTER and len(self.raised_in) > 1
            if broken and not self.proven and not self.vouched_for:
                stop = EndpointError(f"{self.name} has never answered; the run stops. {error}")
        elif isinstance(error, ModelCallError):
            self.answered()  # with nothing of use for this one call, but it is there
            self.rests = 0
        if stop is not None:
            self.give_up(stop)
        return stop


def named(asked: str, said: str) -> str:
    """The model `said` in a reply; `asked`, which is PROVIDER/NAME or NAME, if it is that one; '' if none is said."""
    return asked if said and (said == asked or asked.endswith(f"/{said}")) else said


def way_to(model: ChatModel) -> Hashable:
    """How a model is reached: two roles may play one model, each with a key, a price and replicas of its own."""
    replicas: Sequence[ChatModel] = getattr(model, "replicas", ()) or (model,)
    keys = [getattr(replica, "api_key", None) for replica in replicas]
    addresses = [str(replica.fingerprint) for replica in replicas[1:]]
    return (*(key for key in keys if isinstance(key, ApiKey)), *addresses, model.price)
