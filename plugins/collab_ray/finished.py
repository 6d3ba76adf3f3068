"""What is finished: outcomes of whole conversations, kept in the cache beside the replies that they were made of.

A run that goes on would else look up every reply again: of ten million chats a billion, which takes a server days.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from collab_sdk.chat.cache import Cache
from collab_sdk.chat.model import ChatReply
from collab_sdk.wire import loads

LARGEST = 4 << 20
"""Characters of an outcome that is kept; a larger one is worked off again from the replies."""


class Finished:
    """Outcomes as JSON text of the type `result`, by the conversation's JSON text.

    `identity` is all else that they depend on: without one nothing is kept, and nothing found.
    """

    def __init__(self, cache: Cache, result: Any, identity: Mapping[str, Any] | None) -> None:
        self._cache = cache
        self._result = result
        self._identity = None if identity is None else json.dumps(identity, sort_keys=True)

    async def find(self, conversation: str) -> str | None:
        if (key := self._key(conversation)) is None:
            return None
        reply = await self._cache.aget(key)
        try:
            return None if reply is None or loads(self._result, reply.content) is None else reply.content
        except ValueError:  # whoever wrote that
            return None

    async def keep(self, conversation: str, outcome: str) -> None:
        if len(outcome) <= LARGEST and (key := self._key(conversation)) is not None:
            await self._cache.aput(key, ChatReply(content=outcome), request={"finished": self._digest(conversation)})

    def _key(self, conversation: str) -> str | None:
        """Never that of a call, whose identity is a JSON object."""
        return None if self._identity is None else self._digest(json.dumps(["finished", self._identity, conversation]))

    @staticmethod
    def _digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()
