"""Putting texts into a cache and getting them back."""

import asyncio

from collab_sdk import ChatReply
from collab_sdk.chat.cache import Cache

REQUEST = {"messages": [{"role": "user", "content": "Hello!"}]}


def put(cache: Cache, key: str, text: str) -> str:
    """Returns the text that is kept."""
    return asyncio.run(cache.aput(key, ChatReply(content=text), request=REQUEST)).content


def get(cache: Cache, key: str) -> str | None:
    reply = asyncio.run(cache.aget(key))
    return None if reply is None else reply.content
