"""The call path: cache -> single flight -> gate -> budget -> retry -> model -> commit -> return.

The budget comes behind the cache, so that a resumed run spends its new budget on what is missing.
"""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from collab_sdk.chat.budget import Budget
from collab_sdk.chat.cache import Cache, DiskCache, MemoryCache, default_cache_directory
from collab_sdk.chat.gate import Gate
from collab_sdk.chat.ledger import Ledger
from collab_sdk.chat.model import ChatModel, ChatReply, ChatRequest
from collab_sdk.chat.retry import RetryPolicy, Sleep
from collab_sdk.errors import (
    BotError,
    CollabError,
    EmptyReplyError,
    EndpointError,
    ModelCallError,
    SampleError,
    TruncatedReplyError,
    UsageError,
)

KEY_VERSION = 1
BROKEN_AFTER = 3
"""Failures after which a bot that never answered is given up."""
STOPPED_SECONDS = 1.0
"""How long a stopped endpoint refuses: the run that met it ends, and the next, with the right key, is let through."""


class Engine:
    """Makes every model call of a run: cached, bounded, retried, accounted.

    `cache` is a directory, a Cache, or None to keep replies in memory only. `concurrency` bounds the calls to each
    model; `timeout` is in seconds, for one try. One engine serves any number of scorers, from any event loop.
    """

    def __init__(
        self,
        *,
        cache: Cache | str | os.PathLike[str] | None = None,
        concurrency: int = 32,
        max_calls: int | None = None,
        max_usd: float | None = None,
        timeout: float = 120.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"concurrency is {concurrency}; it must be 1 or more.")
        self.cache: Cache = _as_cache(cache)
        self.concurrency = concurrency
        self.budget = Budget(max_calls=max_calls, max_usd=max_usd)
        self.ledger = Ledger()
        self._timeout = timeout
        self._retry = retry
        self._sleep = sleep
        self._clock = clock
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState] = WeakKeyDictionary()

    async def call(
        self, model: ChatModel, request: ChatRequest, *, accept: Callable[[ChatReply], object] | None = None
    ) -> ChatReply:
        """Answer `request`, from the cache where it was answered before.

        A reply for which `accept` raises is not kept, so that a later run asks again; what it raises passes through.
        Raises SampleError if this one call is lost, RunStoppedError if no further call can be made.
        """
        key = call_key(model, request)
        if key is None:
            return await self._pay(model, request)
        if (record := self.cache.get(key)) is not None:
            self.ledger.of(request.role).cache_hits += 1
            return ChatReply(**record["reply"])
        flights = self._state().flights
        if (flight := flights.get(key)) is None:
            # Its own task: a caller that is cancelled must not take down the others who wait for the same call.
            flight = asyncio.ensure_future(self._pay_and_keep(key, model, request, accept))
            flights[key] = flight
            flight.add_done_callback(lambda done: _land(flights, key, done))
        else:
            self.ledger.of(request.role).cache_hits += 1
        return await asyncio.shield(flight)

    async def _pay_and_keep(
        self, key: str, model: ChatModel, request: ChatRequest, accept: Callable[[ChatReply], object] | None
    ) -> ChatReply:
        async with self.cache.lease(key):
            if (record := self.cache.get(key)) is not None:  # another process paid in the meantime
                self.ledger.of(request.role).cache_hits += 1
                return ChatReply(**record["reply"])
            reply = await self._pay(model, request)
            if accept is not None:
                accept(reply)
            await self.cache.aput(key, {"request": _identity(model, request), "reply": asdict(reply)})
            return reply

    async def _pay(self, model: ChatModel, request: ChatRequest) -> ChatReply:
        endpoint = self._state().endpoint(model, self._clock())
        usage = self.ledger.of(request.role)

        def count_retry() -> None:
            usage.retries += 1

        async with endpoint.gate:  # held while backing off: a slot handed on would meet the same overload
            endpoint.check()
            try:
                async for attempt in self._retry.retrying(self._sleep, count_retry):
                    with attempt:
                        reply = await self._try(model, request)
            except CollabError as error:
                usage.failures += 1
                if (stop := endpoint.failed(error, model.name, self._clock())) is not None:
                    raise stop from error
                raise
            endpoint.answered()
            return reply

    async def _try(self, model: ChatModel, request: ChatRequest) -> ChatReply:
        self.budget.start()
        self.ledger.of(request.role).calls += 1
        started = self._clock()
        usd = None
        try:
            async with asyncio.timeout(self._timeout):
                reply = await model.achat(request)
            usd = reply.usd
        except TimeoutError as error:
            raise ModelCallError(f"{model.name} gave no answer in {self._timeout:g} s.", retryable=True) from error
        finally:
            self.budget.finish(usd)
        self.ledger.answered(request.role, reply, self._clock() - started)
        if reply.finish_reason == "length":
            raise TruncatedReplyError(f"{model.name} ran into its token limit; its reply is cut off.")
        if not reply.content.strip():
            raise EmptyReplyError(f"{model.name} answered with nothing.")
        return reply

    def _state(self) -> "_LoopState":
        loop = asyncio.get_running_loop()
        if (state := self._loops.get(loop)) is None:
            state = self._loops[loop] = _LoopState(self.concurrency)
        return state


@dataclass(slots=True)
class _Endpoint:
    """What this run knows about one model."""

    gate: Gate
    proven: bool = False
    failures: int = 0
    stopped: EndpointError | None = None
    retry_at: float = 0.0

    def check(self) -> None:
        """Raise for the calls that queued up behind one that ended the run."""
        if self.stopped is not None:
            raise EndpointError(str(self.stopped))

    def answered(self) -> None:
        if not self.proven:
            self.proven = True
            self.gate.open()

    def failed(self, error: CollabError, name: str, now: float) -> EndpointError | None:
        """The error that ends the run: the endpoint refuses, or it never answered and does not look like it will."""
        stop = error if isinstance(error, EndpointError) else None
        if not self.proven:
            self.failures += 1
            dead = isinstance(error, ModelCallError) and error.retryable
            broken = isinstance(error, BotError) and self.failures >= BROKEN_AFTER
            if dead or broken:
                stop = EndpointError(f"{name} has never answered; the run stops. {error}")
            elif isinstance(error, SampleError) and not isinstance(error, BotError):
                self.answered()  # with nothing of use for this one call, but it is there
        if stop is not None:
            self.stopped, self.retry_at = stop, now + STOPPED_SECONDS
        return stop


@dataclass(slots=True)
class _LoopState:
    """Gates and flights belong to an event loop; a user's own loop and the shared one may both use an engine."""

    concurrency: int
    endpoints: dict[str, _Endpoint] = field(default_factory=dict)
    flights: dict[str, asyncio.Future[ChatReply]] = field(default_factory=dict)

    def endpoint(self, model: ChatModel, now: float) -> _Endpoint:
        key = json.dumps(model.fingerprint, sort_keys=True) if model.fingerprint else f"{model.name}#{id(model)}"
        found = self.endpoints.get(key)
        if found is None or (found.stopped is not None and now >= found.retry_at):
            found = self.endpoints[key] = _Endpoint(Gate(self.concurrency))
        return found


def _land(flights: dict[str, "asyncio.Future[ChatReply]"], key: str, flight: "asyncio.Future[ChatReply]") -> None:
    del flights[key]
    if not flight.cancelled():
        flight.exception()  # whoever waited has seen it; if nobody waits any more, nobody needs to


def call_key(model: ChatModel, request: ChatRequest) -> str | None:
    """The cache key: sha256 of the call as canonical JSON. None if the model's replies are not to be kept."""
    if model.fingerprint is None:
        return None
    identity = _identity(model, request)
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _identity(model: ChatModel, request: ChatRequest) -> dict[str, Any]:
    return {
        "version": KEY_VERSION,
        "model": dict(model.fingerprint or {}),
        "role": request.role,
        "messages": [message.to_dict() for message in request.messages],
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "json_reply": request.json_reply,
        "template": request.template,
        "sample": request.sample,
    }


def _as_cache(cache: Cache | str | os.PathLike[str] | None) -> Cache:
    if cache is None:
        return MemoryCache()
    if isinstance(cache, str | os.PathLike):
        return DiskCache(Path(cache))
    return cache


@cache
def default_engine() -> Engine:
    """The engine of whoever passes none: one a process, with the user's cache directory."""
    return Engine(cache=default_cache_directory(os.environ))
