"""What is taken from a reply, whoever gave it: the text in what a bot returns, and the counts that can be believed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.errors import BotError, InputError, ModelCallError
from collab_sdk.models.base import ChatReply
from collab_sdk.types import Message, text_of

MOST_TOKENS = 10**9
"""A count of tokens from here on is no count."""
MOST_CHARACTERS = 8 * 2**20
"""In the text of a reply."""
ECHO_WORDS = 5
"""Fewer than this, and saying the same is manners: "thanks" may well answer "thanks"."""


def token_count(value: object) -> int | None:
    """A count of tokens that can be believed, which is anybody's claim; None for any other value."""
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


def checked(reply: object, name: str) -> ChatReply:
    """What the model `name` answered with, without counts that cannot be and text that no file can hold.

    Raises BotError for what is no reply, ModelCallError for one that is too long.
    """
    if not isinstance(reply, ChatReply):
        raise BotError(f"{name} answered with {type(reply).__name__}; its achat must return a ChatReply.")
    if not all(isinstance(text, str) for text in (reply.content, reply.reasoning, reply.finish_reason)):
        raise BotError(f"{name} answered with a ChatReply whose content, reasoning or finish_reason is no text.")
    if (characters := len(reply.content) + len(reply.reasoning)) > MOST_CHARACTERS:
        del reply  # the traceback of the error would hold it
        raise ModelCallError(
            f"{name} answered with {characters:,} characters; no more than {MOST_CHARACTERS:,} are read."
        )
    believed: dict[str, Any] = {
        "content": _encodable(reply.content),
        "reasoning": _encodable(reply.reasoning),
        "prompt_tokens": token_count(reply.prompt_tokens),
        "completion_tokens": token_count(reply.completion_tokens),
        "usd": _money(reply.usd),
    }
    changed = {field: value for field, value in believed.items() if value is not getattr(reply, field)}
    return replace(reply, **changed) if changed else reply


def _money(value: object) -> float | None:
    """US dollars that can have been spent; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < math.inf else None


def _encodable(text: str) -> str:
    """The text with a mark in place of each half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def reply_text(value: Any, history: Sequence[Message]) -> str:
    """The assistant's text in a string, a message, a list of messages or an OpenAI completion.

    Raises BotError for anything else, and for a bot that hands its input back.
    """
    text = _text(value)
    if history and len(text.split()) >= ECHO_WORDS and text.strip() == history[-1].content.strip():
        raise BotError("The bot returned the user's own message; it must return its reply.")
    return text


def finish_reason_of(value: Any) -> str:
    """Why the model behind the bot stopped, where an OpenAI completion says so."""
    choices = getattr(value, "choices", None)
    return str(choices[0].finish_reason or "stop") if choices else "stop"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise BotError("The bot returned None; it must return its reply as text or as a message.")
    if isinstance(value, Mapping) and "messages" in value:  # a LangGraph state
        value = value["messages"]
    if choices := getattr(value, "choices", None):  # an OpenAI completion
        value = choices[0].message
        if value.content is None:  # cut off or filtered before its first word: the finish reason says which
            return ""
    if isinstance(value, Sequence):
        return _last_answer(value)
    role, content = _field(value, "role", "type"), _field(value, "content")
    if role not in (None, "assistant", "ai", "AIMessageChunk"):
        raise BotError(f"The bot returned a message with role {role!r}; its reply must have role 'assistant'.")
    if content is None:
        raise BotError(f"The bot returned {type(value).__name__}; expected text, a message or a list of messages.")
    try:
        return text_of(content)
    except InputError as error:
        raise BotError(f"The bot returned a message that cannot be read: {error.problem}.") from None


def _last_answer(messages: Sequence[Any]) -> str:
    if not messages:
        raise BotError("The bot returned an empty list; it must end with its reply.")
    last = messages[-1]
    if isinstance(last, str) or _field(last, "role", "type") is None:
        raise BotError("The bot returned a list that does not end with a message.")
    return _text(last)


def _field(value: Any, *names: str) -> Any:
    for name in names:
        found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if found is not None:
            return found
    return None
