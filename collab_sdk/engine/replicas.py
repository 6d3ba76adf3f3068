"""Which of a model's servers answers a call."""

import hashlib
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from collab_sdk.concurrency import open_order
from collab_sdk.engine.admission import Queue
from collab_sdk.engine.endpoint import Endpoint
from collab_sdk.errors import CollabError, EndpointError, ModelCallError, TimedOutError
from collab_sdk.models.base import ChatModel, ChatRequest

SLACK = 1.25
"""How many times its fair share of the calls a replica takes before a conversation goes to another."""


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
            admission = await self._choose(request).admission.enter()
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
        beginning = f"{open_order.get()}:{request.messages[0].content if request.messages else ''}"
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
