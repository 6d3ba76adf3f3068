"""Which model the replicas of one are, by what they say in their replies."""

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Collection, Mapping

from collab_sdk.engine.endpoints import Endpoint, named
from collab_sdk.models.base import ChatModel, ChatReply
from collab_sdk.secrets import one_line

AgreeOn = Callable[[str], Awaitable[str]]
"""Keeps which model replicas are, for all who share a cache; returns what was kept first, '' if nothing was."""


class ServedName:
    """The name that the replies of a model's replicas must give; all who share the cache go by the same.

    The model that was asked for is right, if one of them says that it is that. Where none does, all are heard once,
    and the first address that says a name decides.
    """

    def __init__(self, model_of: Mapping[Endpoint, ChatModel], agree_on: AgreeOn) -> None:
        self.agreed = ""
        self._model_of = model_of
        self._agree_on = agree_on
        self._settling, self._agreeing = asyncio.Lock(), asyncio.Lock()

    @property
    def asked_for(self) -> str:
        """The model that was asked for, if one of them says that it is that."""
        return next((model.name for endpoint, model in self._model_of.items() if endpoint.served == model.name), "")

    @property
    def is_as_asked(self) -> bool:
        """Whether they are the model that was asked for, so that there is no vote, and was none."""
        return bool(self.agreed) and self.agreed in {model.name for model in self._model_of.values()}

    def judges(self, endpoint: Endpoint) -> bool:
        """Whether an answer of `endpoint` can be judged: it says no name, or it is known which is right."""
        return len(self._model_of) == 1 or not endpoint.served or bool(self.agreed)

    def is_other(self, endpoint: Endpoint, reply: ChatReply) -> bool:
        """Whether `endpoint` says, in `reply` or else before it, that it is another model than the others."""
        return self.said_by(endpoint, reply) not in ("", self.agreed)

    def said_by(self, endpoint: Endpoint, reply: ChatReply) -> str:
        """The name that `endpoint` gives in `reply`, or else gave before it; '' if none."""
        return named(self._model_of[endpoint].name, reply.model) or endpoint.served

    async def agree(self) -> None:
        """On what all go by who share the cache, or else the model that was asked for; on nothing if none says that."""
        await self._agree(self.asked_for)

    async def settle(self, ask: Callable[[Collection[Endpoint]], Awaitable[None]]) -> None:
        """Hear all that can be asked, and go by the first that says a name, if none is the model asked for.

        `ask` makes a call that none of the endpoints it is given takes.
        """
        async with self._settling:
            heard = {endpoint for endpoint in self._model_of if endpoint.served}
            while not self.agreed and not self.asked_for:
                unheard = next((each for each in self._model_of if each.awake and each not in heard), None)
                if unheard is None:
                    break
                await ask([endpoint for endpoint in self._model_of if endpoint is not unheard])
                heard.add(unheard)
            if not self.agreed:
                first = next(endpoint for endpoint in self._model_of if endpoint.served)
                await self._agree(self.asked_for or first.served)
                self._tell_who_is_unheard()
            for endpoint in self._model_of:
                if endpoint.served == self.agreed:
                    endpoint.absolve()

    async def _agree(self, name: str) -> None:
        """On what all go by who share the cache: `name`, if they go by nothing yet."""
        if not self.agreed:
            async with self._agreeing:
                self.agreed = self.agreed or await self._agree_on(name)

    def _tell_who_is_unheard(self) -> None:
        unheard = [endpoint.name for endpoint in self._model_of if not (endpoint.proven or endpoint.served)]
        if unheard and self.agreed != self.asked_for:
            warnings.warn(
                f"The replicas are taken for {one_line(self.agreed, 100)}, which was not asked for; not heard yet: "
                f"{', '.join(unheard)}.",
                stacklevel=2,
            )
