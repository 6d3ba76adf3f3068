"""One model that several servers serve, and which of them answers a call."""

import hashlib
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from collab_sdk.chat.endpoint import Endpoint
from collab_sdk.chat.gate import Queue
from collab_sdk.chat.model import ChatModel, ChatReply, ChatRequest, Price
from collab_sdk.concurrency import open_order
from collab_sdk.errors import CollabError, EndpointError, ModelCallError, TimedOutError, UsageError

SLACK = 1.25
"""How many times its fair share of the calls a replica takes before a conversation goes to another."""


class ReplicatedModel:
    """`replicas` are servers of one model. The first is its name in cache keys: add others behind it."""

    def __init__(self, replicas: Sequence[ChatModel]) -> None:
        addresses = [_address(replica) for replica in replicas]
        if repeated := [address for address in addresses if addresses.count(address) > 1]:
            raise UsageError(f"The same server is given twice: {repeated[0]}.")
        self.replicas = tuple(replicas)

    @property
    def name(self) -> str:
        return self.replicas[0].name

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        return self.replicas[0].fingerprint

    @property
    def price(self) -> Price | None:
        return self.replicas[0].price

    async def achat(self, request: ChatRequest) -> ChatReply:
        """The first replica's answer; an engine chooses among all."""
        return await self.replicas[0].achat(request)


def named_replicas(model: ChatModel) -> list[tuple[str, ChatModel]]:
    """The model itself under its own name, unless it has several."""
    replicas: Sequence[ChatModel] = getattr(model, "replicas", ())
    if len(replicas) < 2:
        return [(model.name, model)]
    return [(f"{replica.name} at {_address(replica)}", replica) for replica in replicas]


def _address(replica: ChatModel) -> Any:
    found: Mapping[str, Any] = replica.fingerprint or {}
    while "bot" in found:  # under instructions
        found = found["bot"]
    return found.get("api_base")


class Replicas:
    """The endpoints of one model, mostly one, in one event loop.

    A conversation stays with one of them, whose prefix cache knows its beginning (rendezvous hashing), while that one
    has room and is not busier than SLACK times its share of the calls; and where none has room, it waits there, unless
    another has room first. One that fails rests, ever longer, and is tried with a single call after that.
    """

    def __init__(self, model_of: Mapping[Endpoint, ChatModel]) -> None:
        self._model_of = model_of
        self._endpoint_of = {endpoint.gate: endpoint for endpoint in model_of}
        if len(model_of) > 1:
            for endpoint in model_of:
                endpoint.gate.beside = partial(self._queue_beside, endpoint)

    @property
    def over(self) -> bool:
        """Whether all have stopped a run that must have ended by now."""
        return all(endpoint.over for endpoint in self._model_of)

    def vouch(self) -> None:
        """A reply of the model is in the cache."""
        for endpoint in self._model_of:
            endpoint.vouched_for = True

    @asynccontextmanager
    async def turn(self, request: ChatRequest) -> AsyncIterator[tuple[Endpoint, ChatModel]]:
        """Wait until one of them lets the call in; which one."""
        while True:
            gate = await self._choose(request).gate.enter()
            endpoint = self._endpoint_of[gate]
            try:
                if (endpoint.stopped is None and not endpoint.resting) or not self._awake_beside(endpoint):
                    yield endpoint, self._model_of[endpoint]
                    return
            finally:
                gate.leave()

    def _choose(self, request: ChatRequest) -> Endpoint:
        there = [endpoint for endpoint in self._model_of if endpoint.stopped is None] or list(self._model_of)
        awake = [endpoint for endpoint in there if endpoint.awake]
        if not awake:
            return min(there, key=lambda endpoint: (not endpoint.proven, endpoint.rests_until))
        if len(awake) == 1:
            return awake[0]
        room = [endpoint for endpoint in awake if endpoint.gate.room] or awake
        share = SLACK * (1 + sum(endpoint.gate.load for endpoint in awake)) / len(awake)
        fitting = [endpoint for endpoint in room if endpoint.gate.load < max(1, share)]
        beginning = f"{open_order.get()}:{request.messages[0].content if request.messages else ''}"
        if fitting:
            return max(fitting, key=lambda endpoint: _rank(beginning, endpoint.name))
        return min(room, key=lambda endpoint: endpoint.gate.load)

    def _queue_beside(self, endpoint: Endpoint) -> Queue:
        """The longest queue at another, for `endpoint` to help out with."""
        if not endpoint.awake:
            return []
        return max((other.gate.queue for other in self._model_of if other is not endpoint), key=len)

    def take_over(self, endpoint: Endpoint, error: CollabError) -> bool:
        """Whether others make the call that `endpoint` failed; it rests, or is left out if it refuses."""
        if len(self._model_of) == 1:
            return False
        if isinstance(error, EndpointError):
            return self.leave_out(endpoint, error)
        if not isinstance(error, ModelCallError) or error.rate_limited:  # its gate knows what to do with a limit
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
