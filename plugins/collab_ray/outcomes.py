"""Outcomes of whole conversations, kept in the cache beside the replies that they were made of.

Without them a run that goes on would look up every reply again: a billion for ten million chats, which takes days.
"""

from collections.abc import Mapping
from typing import Any

from collab_sdk.cache import LARGEST as LARGEST_ROW
from collab_sdk.cache import Cache, call_key
from collab_sdk.errors import CollabError
from collab_sdk.jobs import loads
from collab_sdk.models import ChatReply

LARGEST = LARGEST_ROW // 2
"""Characters of an outcome that is kept: quoted in a row they may be more. A larger one is made again."""


class OutcomeCache:
    """Outcomes as JSON text of the type `result`, by the conversation's JSON text.

    `identity` is all else that they depend on: without it nothing is kept, and nothing found.
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
        except (ValueError, CollabError):  # another version wrote it
            return None
        return reply.content

    async def keep(self, conversation: str, outcome: str) -> None:
        if len(outcome) <= LARGEST and (key := self._key(conversation)) is not None:
            await self._cache.aput(key, ChatReply(content=outcome), request={})

    def _key(self, conversation: str) -> str | None:
        """Never the key of a call, whose identity has other names."""
        if self._identity is None:
            return None
        return call_key({"outcome_of": dict(self._identity), "conversation": conversation})
