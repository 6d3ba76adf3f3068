"""The call path: cache -> shared call -> lease -> admission -> rate limit -> budget -> model -> commit.

The budget comes behind the cache, so that a resumed run spends its new budget on what is missing.
"""

import asyncio
import json
import os
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextlib import suppress as suppress_errors
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count
from typing import Any, Self
from weakref import WeakKeyDictionary

from collab_sdk.cache.base import UNREADABLE, Cache, KeptCache, MemoryCache
from collab_sdk.cache.open import default_cache, open_cache
from collab_sdk.cache.record import (
    aside_identity,
    call_identity,
    call_key,
    served_identity,
    set_aside,
    some_aside_identity,
    taken_back,
)
from collab_sdk.concurrency import run_sync, sync_twins
from collab_sdk.engine.endpoints import Endpoint, named, way_to
from collab_sdk.engine.limits import Limiter, LocalLimiter, Spending
from collab_sdk.engine.negotiation import Negotiation
from collab_sdk.engine.replicas import Outcome, Replicas
from collab_sdk.engine.retry import RetryPolicy, Sleep, is_retryable
from collab_sdk.engine.shared_calls import LoopState, SharedCall
from collab_sdk.engine.usage import Ledger
from collab_sdk.errors import (
    BotError,
    BudgetError,
    CacheError,
    CollabError,
    EmptyReplyError,
    EndpointError,
    ModelCallError,
    ParameterRefusedError,
    SampleError,
    TimedOutError,
    TruncatedReplyError,
)
from collab_sdk.messages import Ending
from collab_sdk.models.base import CallRole, ChatModel, ChatReply, ChatRequest
from collab_sdk.models.dialect import PLAIN
from collab_sdk.models.reasoning import set_apart
from collab_sdk.models.replicated import named_replicas
from collab_sdk.models.replies import checked, money
from collab_sdk.secrets import one_line
from collab_sdk.spec import Limits
from collab_sdk.suppression import suppress

BROKEN_OFF = {
    Ending.CUT_OFF: "ran into its token limit",
    Ending.FILTERED: "was stopped by its provider's content filter",
}


@sync_twins
class Engine:
    """Makes every model call of a run: cached, bounded, retried, accounted.

    `cache` is a directory, the URL of a shared one, a Cache, or None to keep replies in memory only. How many calls are
    in flight to a model adapts to what its endpoint bears, up to `limits.concurrency`. `limits.timeout` is in seconds,
    for one try; a model that runs in this process may have a `timeout` of its own (None: it is waited for).
    One engine serves any number of scorers, from any event loop. `limiter` replaces all limits, where several
    processes share them.
    """

    def __init__(
        self,
        *,
        cache: Cache | str | os.PathLike[str] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        limiter: Limiter | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self._to_close: KeptCache | None = None
        if isinstance(cache, str | os.PathLike):
            cache = self._to_close = open_cache(cache)
        self.cache: Cache = MemoryCache() if cache is None else cache
        self.ledger = Ledger()
        self._limiter = limiter or LocalLimiter(self.limits, clock=clock, sleep=sleep)
        self.budget: Spending = self._limiter.budget
        self._retry = retry
        self._sleep = sleep
        self._clock = clock
        self._negotiations: dict[str, Negotiation] = {}
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopState] = WeakKeyDictionary()
        self._unkept: CacheError | None = None
        """Why the last reply that could not be kept was not."""
        self._opened: dict[str, int] = {}
        self._order = count()

    async def call(
        self,
        model: ChatModel,
        request: ChatRequest,
        *,
        accept: Callable[[ChatReply], object] | None = None,
        readable: Callable[[ChatReply], object] | None = None,
    ) -> ChatReply:
        """Answer `request`, from the cache where it was answered before.

        A reply for which `accept` raises is not kept, so that a later run asks again; what it raises passes through.
        For one for which `readable` raises ValueError, another replica is asked, if the model has several.
        What an assistant answers is what its user gets, be it cut off or empty, and is returned; a reply of any other
        role is lost then, unless the request says otherwise. Raises SampleError if this one call is lost,
        RunStoppedError if no further call can be made.
        """
        negotiation = self.negotiation(model)
        while True:
            asked = await negotiation.fit(request)
            try:
                return await self._call(model, asked, accept, readable, negotiation)
            except ParameterRefusedError as error:
                if not await negotiation.learn(error, asked):
                    self.ledger.of(request.role).failures += 1
                    raise
                self.ledger.of(request.role).retries += 1

    async def dialects(self, models: Mapping[str, ChatModel]) -> dict[str, Any]:
        """How requests and replies differ from what was asked for, by the keys of `models`.

        Requests do where a server took no other; replies where replicas answer as another model, `served_as`.
        """
        found: dict[str, Any] = {}
        for name, model in models.items():
            dialect = await self.negotiation(model).dialect()
            served = await self._agree_on(model, "") if len(named_replicas(model)) > 1 else ""
            differs = dialect.to_dict() if dialect != PLAIN else {}
            differs |= {"served_as": served} if served not in ("", model.name) else {}
            if differs:
                found[name] = differs
        return found

    def negotiation(self, model: ChatModel) -> Negotiation:
        """What is known of the model's server in this run."""
        key = _key_of(model)
        if (found := self._negotiations.get(key)) is None:
            found = self._negotiations.setdefault(key, Negotiation(model, self.cache))
        return found

    async def _call(
        self,
        model: ChatModel,
        request: ChatRequest,
        accept: Callable[[ChatReply], object] | None,
        readable: Callable[[ChatReply], object] | None,
        negotiation: Negotiation,
    ) -> ChatReply:
        identity = call_identity(model, request)
        if identity is None:
            reply = await self._pay(_Call(model=model, request=request, readable=readable))
            negotiation.took(request)
            return reply
        key = call_key(identity)
        if (known := await self._recall(key, model, request)) is not None:
            return known
        state = self._state()
        if (shared := state.under_way(key)) is None:
            shared = state.start(key, partial(self._pay_and_keep, key, identity, model, request, accept, readable))
        else:
            self.ledger.of(request.role).cache_hits += 1
        reply = await shared.result()
        negotiation.took(request)
        return reply

    @contextmanager
    def opened(self, conversation_id: str, order: int | None = None) -> Iterator[None]:
        """Calls for this conversation go before calls for those that are opened later, or have a higher `order`.

        So conversations are finished rather than begun. Afterwards nothing is remembered of it.
        """
        self._opened.setdefault(conversation_id, next(self._order) if order is None else order)
        try:
            yield
        finally:
            self._opened.pop(conversation_id, None)

    def order_of(self, conversation_id: str) -> int:
        """When it was opened; 0, the first, for one that was not."""
        return self._opened.get(conversation_id, 0)

    async def asettle(self) -> None:
        """Wait until the calls that were sent, but that nobody waits for any more, are kept."""
        await self._state().asettle()

    async def aclose(self) -> None:
        """Wait as `asettle` does, then close the cache if this engine opened it; one that was passed in stays open.

        Closing twice is harmless. No call is made afterwards. `async with` and `with` close at their end.
        """
        await self.asettle()
        if self._to_close is not None:
            self._to_close.close()
            self._to_close = None

    def close(self) -> None:
        run_sync(self.aclose())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _recall(self, key: str, model: ChatModel, request: ChatRequest) -> ChatReply | None:
        reply = await self.cache.aget(key)
        if reply is not None:
            self.ledger.of(request.role).cache_hits += 1
            self._replicas(model).vouch()
        return reply

    async def _pay_and_keep(
        self,
        key: str,
        identity: dict[str, Any],
        model: ChatModel,
        request: ChatRequest,
        accept: Callable[[ChatReply], object] | None,
        readable: Callable[[ChatReply], object] | None,
        shared: SharedCall[ChatReply],
    ) -> ChatReply:
        async with self.cache.lease(key):
            if (known := await self._recall(key, model, request)) is not None:  # another process paid in the meantime
                return known

            return await self._pay(
                _Call(model=model, request=request, identity=identity, shared=shared, accept=accept, readable=readable)
            )

    async def _pay(self, call: "_Call") -> ChatReply:
        """Make the call and keep its reply, or return the one that another process has kept before it.

        The slot is held while backing off, since another call would meet the same overload, and until the reply is
        kept: a kill never loses more calls than were admitted. Nor does a cache that fails: what queued up behind a
        reply that could not be kept is not asked for. Only what another replica is asked about is held without a slot.
        """
        replicas, order, unkept = self._replicas(call.model), self.order_of(call.request.conversation_id), self._unkept
        while True:
            async with replicas.turn(call.request, order, call.doubted) as (endpoint, replica):
                endpoint.check()
                if self._unkept is not unkept:
                    raise CacheError(str(self._unkept))
                call.attempts += 1
                reply = await self._taken_back(call, replicas, endpoint, replica)
                try:
                    reply = reply or await self._persist(call, replicas, endpoint, replica)
                except CollabError as error:
                    self._pass_on_or_raise(call, replicas, endpoint, error)
                    continue
                await replicas.agree(endpoint)
                if replicas.name.judges(endpoint):
                    if replicas.judge(endpoint, reply, call.readable, call.doubted):
                        return await self._keep(call, reply)
                    self.ledger.of(call.request.role).retries += 1
                    continue
                endpoint.rest()  # until it can be judged
            for answering, answer in await self._hear_all(call, replicas, order, endpoint, reply):
                if replicas.judge(answering, answer, call.readable, call.doubted):
                    return await self._keep(call, answer)
            self.ledger.of(call.request.role).retries += 1

    async def _keep(self, call: "_Call", reply: ChatReply) -> ChatReply:
        """Keep the reply; the one that is kept, which may be another's."""
        if call.identity is None:
            return reply
        if call.accept is not None:
            call.accept(reply)
        try:
            return await self.cache.aput(call_key(call.identity), reply, request=call.identity)
        except CacheError as error:
            self._unkept = error
            raise

    def _pass_on_or_raise(self, call: "_Call", replicas: Replicas, endpoint: Endpoint, error: CollabError) -> None:
        """Have a call made again that `endpoint` failed, or raise what ends the call or the run."""
        usage = self.ledger.of(call.request.role)
        passed_on = replicas.is_passed_on(endpoint, error, call.doubted)
        replicas.take_in(endpoint, error, call.doubted)
        if passed_on and (call.attempts < self._retry.attempts or replicas.down or call.doubted):
            call.attempts = 0 if replicas.down else call.attempts  # they are waited for by time alone
            usage.retries += 1
            return
        if isinstance(error, ParameterRefusedError):
            endpoint.answered()  # the call is made again without that parameter
            raise error
        gone = replicas.gone(error)
        stop = gone or endpoint.failed(error, call.request.conversation_id)
        left_out = gone is None and stop is not None and replicas.can_do_without(endpoint)
        if left_out and stop is not None:
            replicas.leave_out(endpoint, stop)
            if is_retryable(error):
                return
        if not isinstance(error, BudgetError):  # a call that was never made has not failed
            usage.failures += 1
        if stop is not None and not left_out:
            replicas.end(stop)
            raise stop from error
        raise error

    async def _hear_all(
        self, call: "_Call", replicas: Replicas, order: int, endpoint: Endpoint, reply: ChatReply
    ) -> list[tuple[Endpoint, ChatReply]]:
        """Have the replicas agree on which model they are; `reply`, and what the others answered where they were asked.

        Where the budget is spent before that, all of these are kept until another run has asked the rest.
        """
        heard = [(endpoint, reply)]

        async def ask(besides: Collection[Endpoint]) -> None:
            async with replicas.turn(call.request, order, besides) as (other, replica):
                with suppress_errors(SampleError, EndpointError):  # the others are heard all the same
                    answer = await self._taken_back(call, replicas, other, replica)
                    if answer is None:
                        answer = await self._try(other, replica, call.request, SharedCall())
                        answer = _taken(answer, replica.name, call.request, is_first=True)
                    heard.append((other, answer))

        try:
            await replicas.name.settle(ask)
        except BudgetError:
            if call.identity is not None:
                await self._keep_aside(call.model, call.identity, heard)
                replicas.some_aside = True
            raise
        return heard

    async def _keep_aside(
        self, model: ChatModel, call: Mapping[str, Any], heard: Collection[tuple[Endpoint, ChatReply]]
    ) -> None:
        mark = some_aside_identity(model)  # before them: without it they are not looked for
        await self.cache.aput(call_key(mark), ChatReply(content=""), request=mark)
        for endpoint, answer in heard:
            identity = aside_identity(call, endpoint.name)
            await self.cache.aput(call_key(identity), set_aside(answer), request=identity)

    async def _taken_back(
        self, call: "_Call", replicas: Replicas, endpoint: Endpoint, model: ChatModel
    ) -> ChatReply | None:
        """What `endpoint` answered to this call in a run whose budget was spent before it could be judged."""
        if call.identity is None or endpoint in call.taken_back or not replicas.may_vote:
            return None
        if replicas.some_aside is None:
            mark = await self.cache.aget(call_key(some_aside_identity(call.model)))
            replicas.some_aside = mark is not None
        if not replicas.some_aside:
            return None
        call.taken_back.add(endpoint)  # where it was of no use, the server is asked
        kept = await self.cache.aget(call_key(aside_identity(call.identity, endpoint.name)))
        if kept is None:
            return None
        try:
            reply = taken_back(kept)
        except UNREADABLE:
            return None
        self.ledger.of(call.request.role).cache_hits += 1
        endpoint.served = named(model.name, reply.model) or endpoint.served
        return reply

    async def _persist(self, call: "_Call", replicas: Replicas, endpoint: Endpoint, model: ChatModel) -> ChatReply:
        """Try until it works, the retry policy gives up, or another replica can take over."""
        usage, attempt = self.ledger.of(call.request.role), 1
        while True:
            is_first = attempt == 1 and (not call.doubted or replicas.another([*call.doubted, endpoint]))
            try:
                reply = await self._try(endpoint, model, call.request, call.shared)
                return _taken(reply, model.name, call.request, is_first=is_first)
            except CollabError as error:
                pause = self._retry.pause_after(error, attempt)
                elsewhere = attempt == 1 and replicas.is_for_another(endpoint, error, call.doubted)
                if pause is None or elsewhere or replicas.gone(error):
                    raise
                if attempt == 1:
                    replicas.take_over(endpoint, error)  # which fails: but who comes later may ask another
                if isinstance(error, ModelCallError) and error.rate_limited:
                    usage.limited_seconds += endpoint.limited(pause)
            await self._sleep(pause)
            usage.retries += 1
            attempt += 1

    async def _try(
        self, endpoint: Endpoint, model: ChatModel, request: ChatRequest, shared: SharedCall[ChatReply]
    ) -> ChatReply:
        await endpoint.rate_limit.wait()
        await self.budget.start(endpoint.admission)
        endpoint.admission.in_flight += 1
        usage = self.ledger.of(request.role)
        usage.calls += 1
        started = self._clock()
        usd = None
        timeout = getattr(model, "timeout", self.limits.timeout)
        shared.sent = True
        try:
            with suppress():  # an app's own bot may be watched, and nobody said any of this
                async with asyncio.timeout(timeout):
                    answers = [await model.achat(request)]
            usd = money(getattr(answers[0], "usd", None))  # also of a reply that is refused
            reply = checked(answers.pop(), model.name)  # which an error's traceback is not to hold
            reply = set_apart(reply, is_json=request.reply_schema is not None)
            endpoint.served = named(model.name, reply.model) or endpoint.served
        except TimeoutError as error:
            limit = "time" if timeout is None else f"{timeout:g} s"  # without a limit, the model itself gave up
            failure = TimedOutError(f"{model.name} gave no answer in {limit}.")
            endpoint.tried(failure, started)
            raise failure from error
        except CollabError as error:
            shared.sent = False
            usage.usd += usd or 0.0
            endpoint.tried(error, started)
            raise
        except Exception as error:  # of somebody's own adapter: nothing that one call meets may end the run
            shared.sent = False
            if os.environ.get("COLLAB_DEBUG"):
                traceback.print_exception(error)
            raise BotError(f"{model.name} raised {type(error).__name__}: {one_line(str(error))}") from error
        finally:
            endpoint.admission.in_flight -= 1
            self.budget.finish(endpoint.admission, usd)
        seconds = self._clock() - started
        endpoint.answered(seconds)
        self.ledger.answered(request.role, reply, seconds)
        endpoint.rate_limit.charge((reply.prompt_tokens or 0) + (reply.completion_tokens or 0))
        return reply

    def _replicas(self, model: ChatModel) -> Replicas:
        """What is known of the model in this event loop."""
        known = self._state().replicas
        key = _key_of(model)
        way = (key, way_to(model))
        found = known.get(way)
        if found is None or found.over:
            endpoint = key if model.fingerprint else model.name
            agree_on = partial(self._agree_on, model)
            found = known[way] = Replicas.of(model, endpoint, self._limiter, self._clock, self._sleep, agree_on)
        return found

    async def _agree_on(self, model: ChatModel, name: str) -> str:
        """Which model the replicas of `model` are, for all who share the cache: `name`, or what was kept before it.

        Without a name nothing is kept, and '' returned where nothing was.
        """
        identity = served_identity(model)
        kept = await self.cache.aget(call_key(identity))
        if kept is None and name:
            kept = await self.cache.aput(call_key(identity), ChatReply(content=name), request=identity)
        return "" if kept is None else kept.content

    def _state(self) -> LoopState:
        loop = asyncio.get_running_loop()
        if (state := self._loops.get(loop)) is None:
            state = self._loops[loop] = LoopState()
        return state


@dataclass(kw_only=True, eq=False, slots=True)
class _Call:
    """One that is paid for, and how far that is."""

    model: ChatModel
    request: ChatRequest
    identity: dict[str, Any] | None = None
    """None if its reply is not to be kept."""
    shared: SharedCall[ChatReply] = field(default_factory=SharedCall)
    accept: Callable[[ChatReply], object] | None = None
    readable: Callable[[ChatReply], object] | None = None
    attempts: int = 0
    doubted: dict[Endpoint, Outcome] = field(default_factory=dict)
    """What replicas answered that another is asked about."""
    taken_back: set[Endpoint] = field(default_factory=set)
    """Whose answers of an earlier run were looked for."""


def _taken(reply: ChatReply, name: str, request: ChatRequest, *, is_first: bool) -> ChatReply:
    """The reply, if it will do: an assistant's is what its user gets, however it ended, and so is one asked for so.

    But one that is all empty at the first try may be a server's mistake, and is asked for once more. One that its
    server broke off is asked for again, whoever it is for.
    """
    if reply.server_failed:
        raise ModelCallError(f"The server of {name} broke off its reply: {reply.finish_reason}.", retryable=True)
    is_blank = reply.ended is Ending.EMPTY and not reply.reasoning
    taken_as_it_is = request.role is CallRole.ASSISTANT or not request.whole
    if taken_as_it_is and not (is_blank and is_first):
        return reply
    return require_whole(reply, name)


def require_whole(reply: ChatReply, name: str) -> ChatReply:
    """The reply of the model `name`. Raises TruncatedReplyError or EmptyReplyError where it did not end by itself."""
    if reply.ended in BROKEN_OFF:
        raise TruncatedReplyError(f"{name} {BROKEN_OFF[reply.ended]}; its reply is cut off.")
    if reply.ended is Ending.EMPTY:
        alone = " but reasoning, which was cut off or has no answer after it" if reply.reasoning else ""
        raise EmptyReplyError(f"{name} answered with nothing{alone}.")
    return reply


def _key_of(model: ChatModel) -> str:
    return json.dumps(model.fingerprint, sort_keys=True) if model.fingerprint else f"{model.name}#{id(model)}"


@cache
def default_engine() -> Engine:
    """The engine of whoever passes none: one a process, with the user's cache."""
    return Engine(cache=default_cache(os.environ))
