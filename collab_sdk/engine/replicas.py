"""Which server of a model takes a call, and which of several answer otherwise than the others."""

import asyncio
import hashlib
import warnings
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from shlex import quote
from typing import NoReturn, Self, TypeGuard

from collab_sdk.engine.admission import Queue
from collab_sdk.engine.endpoints import DOUBTS, FIRST_REST, LONGEST_REST, Endpoint
from collab_sdk.engine.limits import Limiter
from collab_sdk.engine.retry import Sleep
from collab_sdk.engine.served_name import AgreeOn, ServedName
from collab_sdk.errors import (
    CollabError,
    EmptyReplyError,
    EndpointError,
    FilteredError,
    ModelCallError,
    ParameterRefusedError,
    TimedOutError,
)
from collab_sdk.messages import Ending
from collab_sdk.models.base import ChatModel, ChatReply, ChatRequest
from collab_sdk.models.replicated import named_replicas
from collab_sdk.secrets import one_line

SLACK = 1.25
"""How many times its fair share of the calls a replica takes before a conversation goes to another."""
DOWN_PATIENCE = 30.0
"""Seconds for which replicas that did answer are waited for when all are down, as a shared cache is."""

Outcome = ChatReply | CollabError
Doubted = Mapping[Endpoint, Outcome]
"""What replicas answered to one call that another is to be asked about."""


class Replicas:
    """The endpoints of one model, mostly one, in one event loop.

    A conversation stays with one of them, whose prefix cache knows its beginning (rendezvous hashing), while that one
    has room and is not busier than SLACK times its share of the calls; and where none has room, it waits there, unless
    another has room first. One that fails, or answers otherwise than the others, rests, ever longer, and is tried with
    a single call after that.
    """

    def __init__(
        self, model_of: Mapping[Endpoint, ChatModel], clock: Callable[[], float], sleep: Sleep, agree_on: AgreeOn
    ) -> None:
        self._model_of = model_of
        self._clock = clock
        self._sleep = sleep
        self._endpoint_of = {endpoint.admission: endpoint for endpoint in model_of}
        self._several = len(model_of) > 1
        self._down_since: float | None = None
        """Since when none that can be asked has answered."""
        self._news = asyncio.Event()
        self.some_aside: bool | None = None
        """Whether earlier runs have kept replies aside; None until the cache was asked."""
        self.name = ServedName(model_of, agree_on)
        if self._several:
            for endpoint in model_of:
                endpoint.admission.beside = partial(self._queue_beside, endpoint)

    @classmethod
    def of(
        cls,
        model: ChatModel,
        endpoint: str,
        limiter: Limiter,
        clock: Callable[[], float],
        sleep: Sleep,
        agree_on: AgreeOn,
    ) -> Self:
        """Those of `model`, which the limiter knows as `endpoint`. They share a rate limit, not their admission.

        Who has other replicas of the same model has other admissions, for calls go from one to those beside it.
        """
        rate_limit, replicas = limiter.rate_limit(endpoint), named_replicas(model)
        all_names = " ".join(name for name, _ in replicas)
        model_of = {
            Endpoint(
                name=name,
                admission=limiter.admission(f"{name} of {all_names} {endpoint}"),
                rate_limit=rate_limit,
                clock=clock,
            ): replica
            for name, replica in replicas
        }
        return cls(model_of, clock, sleep, agree_on)

    @property
    def over(self) -> bool:
        """Whether all have stopped a run that must have ended by now."""
        return all(endpoint.over for endpoint in self._model_of)

    @property
    def down(self) -> bool:
        """Whether none of several answers, and that is waited for."""
        return self._down_since is not None

    def vouch(self) -> None:
        """A reply of the model is in the cache."""
        for endpoint in self._model_of:
            endpoint.vouched_for = True

    # Who takes a call

    @asynccontextmanager
    async def turn(
        self, request: ChatRequest, order: int, besides: Collection[Endpoint] = ()
    ) -> AsyncIterator[tuple[Endpoint, ChatModel]]:
        """Wait until one of them lets the call in, whose conversation was the `order`-th to be opened; which one.

        None of those `besides` is asked.
        """
        while True:
            while not self._awake(besides) and (self._returns(besides) if besides else self.down):
                others = [endpoint for endpoint in self._model_of if endpoint not in besides]
                rest = min(endpoint.rests_until for endpoint in others) - self._clock()
                await (self._sleep(rest) if rest > 0 else self._news.wait())
            chosen = self._choose(request, besides)
            admission = await chosen.admission.enter(order, stays=bool(besides))
            endpoint = self._endpoint_of[admission]
            try:
                able = endpoint.stopped is None and not endpoint.resting
                elsewhere = self._returns(besides) if besides else self.down or self._awake([endpoint])
                if able or not elsewhere:
                    yield endpoint, self._model_of[endpoint]
                    return
            finally:
                admission.leave()
                if self._several:
                    self._news.set()
                    self._news = asyncio.Event()

    def _choose(self, request: ChatRequest, besides: Collection[Endpoint]) -> Endpoint:
        living = [endpoint for endpoint in self._model_of if endpoint.stopped is None] or list(self._model_of)
        there = [endpoint for endpoint in living if endpoint not in besides] or living
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

    def _awake(self, besides: Collection[Endpoint]) -> bool:
        return any(endpoint.awake for endpoint in self._model_of if endpoint not in besides)

    # Who fails

    def take_over(self, endpoint: Endpoint, error: CollabError) -> None:
        """Let `endpoint` rest, which failed a call."""
        if isinstance(error, EndpointError):
            if self.can_do_without(endpoint):
                self.leave_out(endpoint, error)
        elif self._several and _is_fault(error):
            if not endpoint.proven and endpoint.rests == 0:
                warnings.warn(f"{endpoint.name} has not answered yet, other replicas go on: {error}", stacklevel=2)
            elif error.retryable and error.tries is not None:  # it answered, but with what is no reply
                self._tell(endpoint, type(error).__name__, str(error))
            endpoint.rest()
            if error.retryable and error.tries is None and endpoint.failing_since is None:
                endpoint.failing_since = self._clock()
            if error.retryable and not self._awake([endpoint]):
                self._wait()

    def _is_taken_over(self, endpoint: Endpoint, error: CollabError) -> bool:
        """Whether a call that `endpoint` failed is made again, by others or once one is back."""
        if isinstance(error, EndpointError):
            return self.can_do_without(endpoint)
        if not self._several or not _is_fault(error) or not error.retryable:
            return False
        return self._awake([endpoint]) or self._can_wait()

    def _can_wait(self) -> bool:
        """None can be asked: whether one that answered before is waited for."""
        if not any(endpoint.proven for endpoint in self._model_of if self._is_able(endpoint)):
            return False
        return self._down_since is None or self._clock() - self._down_since < DOWN_PATIENCE

    def _wait(self) -> bool:
        """Wait for whoever is back first, if any is waited for: all that are able are tried soon."""
        if not self._can_wait():
            return False
        now = self._clock()
        for endpoint in self._model_of:
            if self._is_able(endpoint):
                endpoint.rests_until = min(endpoint.rests_until, now + FIRST_REST)
        self._down_since = now if self._down_since is None else self._down_since
        return True

    def _is_able(self, endpoint: Endpoint) -> bool:
        """Whether an answer of use may be expected of `endpoint`: one that is odd may pass, if it was not at first."""
        if endpoint.stopped is not None or endpoint.refuses:
            return False
        return endpoint.useful or not endpoint.left_out

    def _returns(self, besides: Collection[Endpoint]) -> bool:
        """Whether one that rests is waited for, by a call that is of no use to those `besides`."""
        for endpoint in self._model_of:
            if endpoint in besides or not self._is_able(endpoint):
                continue
            if endpoint.failing_since is None and endpoint.useful and not endpoint.left_out:
                return True
            if endpoint.failing_since is not None and self._clock() - endpoint.failing_since < DOWN_PATIENCE:
                return True
        return False

    def gone(self, error: CollabError) -> EndpointError | None:
        """The error that ends the run where all were waited for in vain, `error` being the last, or has ended it."""
        stops = [endpoint.stopped for endpoint in self._model_of]
        if self._several and all(stops):
            return stops[0]
        if self._down_since is None or self._clock() - self._down_since < DOWN_PATIENCE:
            return None
        problem = f"None of the {len(self._model_of)} replicas has answered for {DOWN_PATIENCE:.0f} s; the run stops."
        return EndpointError(f"{problem} {error}")

    def leave_out(self, endpoint: Endpoint, error: EndpointError) -> None:
        """Go on without `endpoint`, with one line; it is tried again after the longest rest."""
        if endpoint.stopped is None:
            self._tell(endpoint, type(error).__name__, str(error))
        endpoint.stopped, endpoint.left_out, endpoint.refuses = None, str(error), True
        endpoint.rests_until = self._clock() + LONGEST_REST
        endpoint.rests += 1

    def can_do_without(self, endpoint: Endpoint) -> bool:
        others = [other for other in self._model_of if other is not endpoint]
        return any(other.stopped is None and not other.left_out for other in others)

    def _tell(self, endpoint: Endpoint, kind: str, problem: str) -> None:
        """That it is left out for now, once for each kind of problem: it may come and go."""
        if kind not in endpoint.told:
            endpoint.told.add(kind)
            warnings.warn(f"{endpoint.name} is left out, other replicas go on: {problem}", stacklevel=3)
        endpoint.left_out = problem

    def end(self, stop: EndpointError) -> None:
        """The run ends, for whatever is queued up here as well."""
        self._down_since = None
        for endpoint in self._model_of:
            endpoint.give_up(stop)

    # Who answers otherwise than the others

    def is_for_another(self, endpoint: Endpoint, error: CollabError, doubted: Doubted) -> bool:
        """Whether `endpoint` is not to try a call again that it failed at first."""
        if _is_doubtful(error):
            return bool(doubted) or self.another([endpoint])
        return self._is_taken_over(endpoint, error)

    def is_passed_on(self, endpoint: Endpoint, error: CollabError, doubted: Doubted) -> bool:
        """Whether a call that `endpoint` failed is made again; to be asked before that is taken in."""
        if _is_doubtful(error):
            return self._is_doubted(endpoint, error, doubted)
        return self._is_taken_over(endpoint, error)

    def take_in(self, endpoint: Endpoint, error: CollabError, doubted: dict[Endpoint, Outcome]) -> None:
        """That `endpoint` failed a call; `doubted` grows by what may be its fault alone."""
        if _is_doubtful(error):
            self._doubt(endpoint, error, doubted)
            return
        taken_over = self._is_taken_over(endpoint, error)
        self.take_over(endpoint, error)
        if taken_over and not self.another(doubted):
            doubted.clear()  # who else was asked is asked anew

    def judge(
        self,
        endpoint: Endpoint,
        reply: ChatReply,
        readable: Callable[[ChatReply], object] | None,
        doubted: dict[Endpoint, Outcome],
    ) -> bool:
        """Whether the reply is taken; if not, another replica is asked.

        Raises EndpointError where no replica is left that is the model which the run began with, or answers well.
        """
        if not self._several:
            return True
        if self._is_other_model(endpoint, reply):
            return False
        if reply.ended is Ending.EMPTY or not _is_readable(reply, readable):
            is_doubted = self._is_doubted(endpoint, reply, doubted)
            self._doubt(endpoint, reply, doubted)
            return not is_doubted
        self._trust(endpoint, doubted)
        return True

    def _is_doubted(self, endpoint: Endpoint, outcome: Outcome, doubted: Doubted) -> bool:
        """Whether `outcome`, of no use, may be the fault of `endpoint` alone, so that another is asked as well.

        Another is, unless two that are trusted, with this one against them, have said the same: then it is about the
        call. A parameter is given up only if all refuse it. One that rests is waited for.
        """
        asked = [*doubted, endpoint]
        trusted = [other for other in asked if other.doubts + (other is endpoint) < DOUBTS]
        enough = len(trusted) > 1 and not isinstance(outcome, ParameterRefusedError)
        return self._several and not enough and self._is_left(asked)

    def _doubt(self, endpoint: Endpoint, outcome: Outcome, doubted: dict[Endpoint, Outcome]) -> None:
        """Take in an answer of no use."""
        if not self._several:
            return
        asked, is_doubted = [*doubted, endpoint], self._is_doubted(endpoint, outcome, doubted)
        endpoint.doubts += 1
        if not is_doubted:
            self._check_is_left(endpoint, outcome, asked)
            for other in doubted:
                other.absolve()
            self._down_since = None
            return
        if isinstance(outcome, ParameterRefusedError) or not endpoint.trusted:
            endpoint.rest()  # until the other has answered, it might give many more such answers
        if not endpoint.useful and not self._awake(asked):
            self._wait()
        doubted[endpoint] = outcome

    def _check_is_left(self, endpoint: Endpoint, outcome: Outcome, asked: Collection[Endpoint]) -> None:
        """Raises EndpointError where `endpoint` is odd, and those that answered well have gone: it is not believed."""
        is_odd = bool(endpoint.left_out) or not endpoint.useful
        others = [other for other in self._model_of if other not in asked]
        if is_odd and any(other.useful for other in others) and not any(other.trusted for other in asked):
            problem = "it gives answers in no readable form" if isinstance(outcome, ChatReply) else str(outcome)
            self._end_with(f"No replica is left that answers well; the run stops. {endpoint.name}: {problem}")

    def another(self, asked: Collection[Endpoint]) -> bool:
        """Whether one more is to be asked what those `asked` gave no answer of use to."""
        if sum(endpoint.trusted for endpoint in asked) > 1:
            return False
        return self._several and self._is_left(asked)

    def _is_left(self, asked: Collection[Endpoint]) -> bool:
        return self._awake(asked) or self._returns(asked)

    def _trust(self, endpoint: Endpoint, doubted: Doubted) -> None:
        """An answer of `endpoint` is of use, to a call of which others gave none."""
        endpoint.recovered()
        self._down_since = None
        for other, outcome in doubted.items():
            if isinstance(outcome, ParameterRefusedError) or not other.trusted:
                problem = "it gave an answer in no readable form" if isinstance(outcome, ChatReply) else str(outcome)
                self._tell(other, type(outcome).__name__, problem)
                other.rest()

    # Which model they say they are

    @property
    def may_vote(self) -> bool:
        """Whether there are several, and they have not agreed that they are the model which was asked for."""
        return self._several and not self.name.is_as_asked

    async def agree(self, endpoint: Endpoint) -> None:
        """Agree on which model they are, if `endpoint` says a name and that can be known without hearing the others."""
        if not self.name.judges(endpoint):
            await self.name.agree()

    def _is_other_model(self, endpoint: Endpoint, reply: ChatReply) -> bool:
        """Whether `endpoint` says that it is another model than the others: it is left out for now.

        If it is the one that was asked for, the run ends, as it does where no other is left.
        """
        if not self.name.is_other(endpoint, reply):
            return False
        served, agreed = self.name.said_by(endpoint, reply), one_line(self.name.agreed, 100)
        problem = f"it answers as {one_line(served, 100)}, not as {agreed}"
        if served == self._model_of[endpoint].name:
            self._end_with(
                f"{endpoint.name} is the model that was asked for, and the replies in the cache are those of {agreed}: "
                "give another --cache, or ask for that one by its name."
            )
        self._tell(endpoint, served, problem)
        endpoint.rest()
        if not self._awake([endpoint]) and not self._wait():
            self._end_with(
                f"No replica is left that is the model which the run began with. {endpoint.name}: {problem}. With "
                "another --cache it begins anew; if it is the same model under a new name, `collab cache prune "
                f"--served {quote(agreed)}` lets the cache forget the old one, and the run goes on."
            )
        return True

    def _end_with(self, problem: str) -> NoReturn:
        stop = EndpointError(problem)
        self.end(stop)
        raise stop


def _is_fault(error: CollabError) -> TypeGuard[ModelCallError]:
    """Whether a replica is there no more, or too slow. Of a rate limit its admission knows what to do."""
    if not isinstance(error, ModelCallError) or error.rate_limited:
        return False
    return error.retryable or isinstance(error, TimedOutError)


def _is_doubtful(error: CollabError) -> bool:
    """Whether another replica may answer what this one did not."""
    if isinstance(error, FilteredError | TimedOutError):
        return False
    return isinstance(error, EmptyReplyError) or (isinstance(error, ModelCallError) and not error.retryable)


def _is_readable(reply: ChatReply, readable: Callable[[ChatReply], object] | None) -> bool:
    try:
        if readable is not None:
            readable(reply)
    except ValueError:
        return False
    return True


def _rank(beginning: str, name: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{beginning}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
