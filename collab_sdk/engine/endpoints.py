"""The servers that answer for one model: what a run knows of each, and which of them takes a call."""

import hashlib
import warnings
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from collab_sdk.engine.admission import Admission, Queue
from collab_sdk.engine.limits import Limiter, RateLimiting
from collab_sdk.errors import BotError, CollabError, EndpointError, ModelCallError, TimedOutError
from collab_sdk.models.base import ChatModel, ChatRequest
from collab_sdk.models.providers import ApiKey
from collab_sdk.models.replicated import named_replicas

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
SLACK = 1.25
"""How many times its fair share of the calls a replica takes before a conversation goes to another."""


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
        if stop is not None:
            self.give_up(stop)
        return stop


def way_to(model: ChatModel) -> Hashable:
    """How a model is reached: two roles may play one model, each with a key, a price and replicas of its own."""
    replicas: Sequence[ChatModel] = getattr(model, "replicas", ()) or (model,)
    keys = [getattr(replica, "api_key", None) for replica in replicas]
    addresses = [str(replica.fingerprint) for replica in replicas[1:]]
    return (*(key for key in keys if isinstance(key, ApiKey)), *addresses, model.price)


class Replicas:
    """The endpoints of one model, mostly one, in one event loop.

    A conversation stays with one of them, whose prefix cache knows its beginning (rendezvous hashing), while that one
    has room and is not busier than SLACK times its share of the calls; and where none has room, it waits there, unless
    another has room first. One that fails rests, ever longer, and is tried with a single call after that.
    """

    def __init__(self, model_of: Mapping[Endpoint, ChatModel]) -> None:
        self._model_of = model_of
        self._endpoint_of = {endpoint.admission: endpoint for endpoint in model_of}
        if len(model_of) > 1:
            for endpoint in model_of:
                endpoint.admission.beside = partial(self._queue_beside, endpoint)

    @classmethod
    def of(cls, model: ChatModel, endpoint: str, limiter: Limiter, clock: Callable[[], float]) -> Self:
        """Those of `model`, which the limiter knows as `endpoint`. They share a rate limit, not their admission."""
        rate_limit = limiter.rate_limit(endpoint)
        return cls(
            {
                Endpoint(
                    name=name, admission=limiter.admission(f"{name} {endpoint}"), rate_limit=rate_limit, clock=clock
                ): replica
                for name, replica in named_replicas(model)
            }
        )

    @property
    def over(self) -> bool:
        """Whether all have stopped a run that must have ended by now."""
        return all(endpoint.over for endpoint in self._model_of)

    def vouch(self) -> None:
        """A reply of the model is in the cache."""
        for endpoint in self._model_of:
            endpoint.vouched_for = True

    @asynccontextmanager
    async def turn(self, request: ChatRequest, order: int) -> AsyncIterator[tuple[Endpoint, ChatModel]]:
        """Wait until one of them lets the call in, whose conversation was the `order`-th to be opened; which one."""
        while True:
            admission = await self._choose(request).admission.enter(order)
            endpoint = self._endpoint_of[admission]
            try:
                if (endpoint.stopped is None and not endpoint.resting) or not self._awake_beside(endpoint):
                    yield endpoint, self._model_of[endpoint]
                    return
            finally:
                admission.leave()

    def _choose(self, request: ChatRequest) -> Endpoint:
        there = [endpoint for endpoint in self._model_of if endpoint.stopped is None] or list(self._model_of)
        awake = [endpoint for endpoint in there if endpoint.awake]
        if not awake:
            return min(there, key=lambda endpoint: (not endpoint.proven, endpoint.rests_until))
        if len(awake) == 1:
            return awake[0]
        room = [endpoint for endpoint in awake if endpoint.admission.room] or awake
        share = SLACK * (1 + sum(endpoint.admission.load for endpoint in awake)) / len(awake)
        fitting = [endpoint for endpoint in room if endpoint.admission.load < max(1, share)]
        beginning = f"{request.conversation_id}:{request.messages[0].content if request.messages else ''}"
        if fitting:
            return max(fitting, key=lambda endpoint: _rank(beginning, endpoint.name))
        return min(room, key=lambda endpoint: endpoint.admission.load)

    def _queue_beside(self, endpoint: Endpoint) -> Queue:
        """The longest queue at another, for `endpoint` to help out with."""
        if not endpoint.awake:
            return []
        return max((other.admission.queue for other in self._model_of if other is not endpoint), key=len)

    def take_over(self, endpoint: Endpoint, error: CollabError) -> bool:
        """Whether others make the call that `endpoint` failed; it rests, or is left out if it refuses."""
        if len(self._model_of) == 1:
            return False
        if isinstance(error, EndpointError):
            return self.leave_out(endpoint, error)
        if not isinstance(error, ModelCallError) or error.rate_limited:  # its admission knows what to do with a limit
            return False
        if not error.retryable and not isinstance(error, TimedOutError):
            return False
        if not endpoint.proven and endpoint.rests == 0:
            warnings.warn(f"{endpoint.name} has not answered yet, other replicas go on: {error}", stacklevel=2)
        endpoint.rest()
        return error.retryable and self._awake_beside(endpoint)

    def leave_out(self, endpoint: Endpoint, error: EndpointError) -> bool:
        """Whether the others can do without `endpoint`, which is told."""
        if not any(other is not endpoint and other.stopped is None for other in self._model_of):
            return False
        if endpoint.stopped is None:
            warnings.warn(f"{endpoint.name} is left out, other replicas go on: {error}", stacklevel=2)
        endpoint.give_up(error)
        return True

    def _awake_beside(self, endpoint: Endpoint) -> bool:
        return any(other is not endpoint and other.awake for other in self._model_of)


def _rank(beginning: str, name: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{beginning}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
