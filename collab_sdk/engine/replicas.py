"""Which server of a model takes a call, and which of several answer otherwise than the others."""

import asyncio
import hashlib
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import NoReturn, Self, TypeGuard

from collab_sdk.engine.admission import Queue
from collab_sdk.engine.endpoints import FIRST_REST, LONGEST_REST, Endpoint, named
from collab_sdk.engine.limits import Limiter
from collab_sdk.engine.retry import Sleep
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
PATIENCE = 30.0
"""Seconds for which replicas that did answer are waited for when all are down, as a shared cache is."""

AgreeOn = Callable[[str], Awaitable[str]]
"""Keeps which model replicas are, for all who share a cache; returns what was kept first, '' if nothing was."""
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
        self._agree_on = agree_on
        self._endpoint_of = {endpoint.admission: endpoint for endpoint in model_of}
        self._several = len(model_of) > 1
        self._down_since: float | None = None
        """Since when none that can be asked has answered."""
        self._news = asyncio.Event()
        self._agreed = ""
        """The model that the replicas say they are."""
        self._settling, self._agreeing = asyncio.Lock(), asyncio.Lock()
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
        """Those of `model`, which the limiter knows as `endpoint`. They share a rate limit, not their admission."""
        rate_limit = limiter.rate_limit(endpoint)
        model_of = {
            Endpoint(
                name=name, admission=limiter.admission(f"{name} {endpoint}"), rate_limit=rate_limit, clock=clock
            ): replica
            for name, replica in named_replicas(model)
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

    def take_over(self, endpoint: Endpoint, error: CollabError) -> bool:
        """Let `endpoint` rest, which failed a call; whether that is made again, by others or once one is back."""
        taken_over = self._is_taken_over(endpoint, error)
        if isinstance(error, EndpointError):
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
        return taken_over

    def _is_taken_over(self, endpoint: Endpoint, error: CollabError) -> bool:
        if isinstance(error, EndpointError):
            return self._can_do_without(endpoint)
        if not self._several or not _is_fault(error) or not error.retryable:
            return False
        return self._awake([endpoint]) or self._can_wait()

    def _can_wait(self) -> bool:
        """None can be asked: whether one that answered before is waited for."""
        if not any(endpoint.proven for endpoint in self._model_of if self._is_able(endpoint)):
            return False
        return self._down_since is None or self._clock() - self._down_since < PATIENCE

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
            if endpoint.failing_since is not None and self._clock() - endpoint.failing_since < PATIENCE:
                return True
        return False

    def gone(self, error: CollabError) -> EndpointError | None:
        """The error that ends the run where all were waited for in vain, `error` being the last, or has ended it."""
        stops = [endpoint.stopped for endpoint in self._model_of]
        if self._several and all(stops):
            return stops[0]
        if self._down_since is None or self._clock() - self._down_since < PATIENCE:
            return None
        problem = f"None of the {len(self._model_of)} replicas has answered for {PATIENCE:.0f} s; the run stops."
        return EndpointError(f"{problem} {error}")

    def leave_out(self, endpoint: Endpoint, error: EndpointError) -> bool:
        """Whether the others can do without `endpoint`, which is told; it is tried again after the longest rest."""
        if not self._can_do_without(endpoint):
            return False
        if endpoint.stopped is None:
            self._tell(endpoint, type(error).__name__, str(error))
        endpoint.stopped, endpoint.left_out, endpoint.refuses = None, str(error), True
        endpoint.rests_until = self._clock() + LONGEST_REST
        endpoint.rests += 1
        return True

    def _can_do_without(self, endpoint: Endpoint) -> bool:
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

    def handle_failure(self, endpoint: Endpoint, error: CollabError, doubted: dict[Endpoint, Outcome]) -> bool:
        """Whether a call that `endpoint` failed is made again; `doubted` grows by what may be its fault alone."""
        if _is_doubtful(error):
            return self._doubts(endpoint, error, doubted)
        taken_over = self.take_over(endpoint, error)
        if taken_over and not self.another(doubted):
            doubted.clear()  # who else was asked is asked anew
        return taken_over

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
            return not self._doubts(endpoint, reply, doubted)
        self._trust(endpoint, doubted)
        return True

    def _doubts(self, endpoint: Endpoint, outcome: Outcome, doubted: dict[Endpoint, Outcome]) -> bool:
        """Whether `outcome`, of no use, may be the fault of `endpoint` alone, so that another is asked as well.

        Another is, unless two that are trusted have said the same: then it is about the call. A parameter is
        given up only if all refuse it. One that rests is waited for.
        """
        if not self._several:
            return False
        endpoint.doubts += 1
        asked, is_refusal = [*doubted, endpoint], isinstance(outcome, ParameterRefusedError)
        if not (self._is_left(asked) if is_refusal else self.another(asked)):
            self._check_is_left(endpoint, outcome, asked)
            for other in doubted:
                other.absolve()
            self._down_since = None
            return False
        if is_refusal or not endpoint.trusted:
            endpoint.rest()  # until the other has answered, it might give many more such answers
        if not endpoint.useful and not self._awake(asked):
            self._wait()
        doubted[endpoint] = outcome
        return True

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

    async def agree_or_rest(self, endpoint: Endpoint) -> bool:
        """Whether it is known which model they are, so that an answer of `endpoint` can be judged; else it rests."""
        if not self._several or not endpoint.served:
            return True
        await self._agree(self._asked_for)
        if not self._agreed:
            endpoint.rest()  # until it is
        return bool(self._agreed)

    @property
    def _asked_for(self) -> str:
        """The model that was asked for, if one of them says that it is that."""
        return next((model.name for endpoint, model in self._model_of.items() if endpoint.served == model.name), "")

    async def _agree(self, name: str) -> None:
        """On what all go by who share the cache: `name`, if they go by nothing yet."""
        if not self._agreed:
            async with self._agreeing:
                self._agreed = self._agreed or await self._agree_on(name)

    async def settle(self, ask: Callable[[Collection[Endpoint]], Awaitable[None]]) -> None:
        """Hear all that can be asked, and go by the first that says a name, if none is the model asked for.

        `ask` makes a call that none of the endpoints it is given takes.
        """
        async with self._settling:
            heard = {endpoint for endpoint in self._model_of if endpoint.served}
            while not self._agreed and not self._asked_for and self._awake(heard):
                unheard = next(endpoint for endpoint in self._model_of if endpoint.awake and endpoint not in heard)
                await ask([endpoint for endpoint in self._model_of if endpoint is not unheard])
                heard.add(unheard)
            if not self._agreed:
                first = next(endpoint for endpoint in self._model_of if endpoint.served)
                await self._agree(self._asked_for or first.served)
                self._tell_who_is_unheard()
            for endpoint in self._model_of:
                if endpoint.served == self._agreed:
                    endpoint.absolve()

    def _tell_who_is_unheard(self) -> None:
        unheard = [endpoint.name for endpoint in self._model_of if not endpoint.proven]
        if unheard and self._agreed != self._asked_for:
            warnings.warn(
                f"The replicas are taken for {one_line(self._agreed, 100)}, which was not asked for; not heard yet: "
                f"{', '.join(unheard)}.",
                stacklevel=2,
            )

    def _is_other_model(self, endpoint: Endpoint, reply: ChatReply) -> bool:
        """Whether `endpoint` says that it is another model than the others: it is left out for now.

        If it is the one that was asked for, the run ends, as it does where no other is left.
        """
        asked_for = self._model_of[endpoint].name
        served = named(asked_for, reply.model) or endpoint.served
        if served in ("", self._agreed):
            return False
        problem = f"it answers as {one_line(served, 100)}, not as {one_line(self._agreed, 100)}"
        if served == asked_for:
            self._end_with(
                f"{endpoint.name} is the model that was asked for, and the replies in the cache are those of "
                f"{one_line(self._agreed, 100)}: give another --cache, or ask for that one by its name."
            )
        self._tell(endpoint, served, problem)
        endpoint.rest()
        if not self._awake([endpoint]) and not self._wait():
            self._end_with(
                f"No replica is left that is the model which the run began with. {endpoint.name}: {problem}. With "
                "another --cache it begins anew."
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
