"""The text of a reply, out of whatever a bot returns."""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.errors import BotError, InputError
from collab_sdk.types import Message, text_of

ECHO_WORDS = 5
"""Fewer than this, and saying the same is manners: "thanks" may well answer "thanks"."""


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
