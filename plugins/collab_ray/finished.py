"""What is finished: outcomes of whole conversations, kept in the cache beside the replies that they were made of.

A run that goes on would else look up every reply again: of ten million chats a billion, which takes a server days.
"""

from collections.abc import Mapping
from typing import Any

from collab_sdk.cache import LARGEST as LARGEST_ROW
from collab_sdk.cache import Cache, call_key
from collab_sdk.errors import CollabError
from collab_sdk.jobs import loads
from collab_sdk.models import ChatReply

LARGEST = LARGEST_ROW // 2
"""Characters of an outcome that is kept: quoted in a row they may be more. A larger one is worked off again."""


class Finished:
    """Outcomes as JSON text of the type `result`, by the conversation's JSON text.

    `identity` is all else that they depend on: without one nothing is kept, and nothing found.
    """

    def __init__(self, cache: Cache, result: Any, identity: Mapping[str, Any] | None) -> None:
        self._cache = cache
        self._result = result
        self._identity = identity

    async def find(self, conversation: str) -> str | None:
        if (key := self._key(conversation)) is None:
            return None
        if (reply := await self._cache.aget(key)) is None:
            return None
        try:
            loads(self._result, reply.content)
        except (ValueError, CollabError):  # whoever wrote that
            return None
        return reply.content

    async def keep(self, conversation: str, outcome: str) -> None:
        if len(outcome) <= LARGEST and (key := self._key(conversation)) is not None:
            await self._cache.aput(key, ChatReply(content=outcome), request={})

    def _key(self, conversation: str) -> str | None:
        """Never that of a call, whose identity has other names."""
        if self._identity is None:
            return None
        return call_key({"finished": dict(self._identity), "conversation": conversation})
