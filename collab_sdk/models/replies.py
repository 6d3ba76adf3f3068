"""What is taken from a reply, whoever gave it: text and calls that any file can hold, counts that can be believed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from collab_sdk.errors import BotError, InputError, ModelCallError
from collab_sdk.messages import Message
from collab_sdk.models.base import ChatReply
from collab_sdk.tool_calls import tool_calls_in

MOST_TOKENS = 10**9
"""A count of tokens from here on is no count."""
MOST_CHARACTERS = 8 * 2**20
"""In a reply: its text, the arguments of its calls, and the steps that led to it."""
MOST_CALLS = 128
"""In one message. OpenAI takes no more tools than these."""
MOST_STEPS = 1_000
"""Of a bot that runs its own tools."""


def token_count(value: object) -> int | None:
    """A count of tokens that can be believed, which is anybody's claim; None for any other value."""
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


def checked(reply: object, name: str) -> ChatReply:
    """What the model `name` answered with, without counts that cannot be and text that no file can hold.

    Raises BotError for what is no reply, ModelCallError for one that is too long.
    """
    if not isinstance(reply, ChatReply):
        raise BotError(f"{name} answered with {type(reply).__name__}; its achat must return a ChatReply.")
    if not all(isinstance(text, str) for text in (reply.content, reply.reasoning, reply.finish_reason, reply.model)):
        raise BotError(
            f"{name} answered with a ChatReply whose content, reasoning, finish_reason or model is not text."
        )
    if not isinstance(reply.steps, tuple | list) or not all(map(_is_step, reply.steps)):
        raise BotError(f"{name} answered with a ChatReply whose steps are not messages of an assistant or a tool.")
    try:
        if problem := _is_too_much(reply):
            del reply  # the traceback of the error would hold it
            raise ModelCallError(f"{name} answered with {problem} are read.")
        believed: dict[str, Any] = {
            "content": _encodable(reply.content),
            "reasoning": _encodable(reply.reasoning),
            "tool_calls": _calls(reply),
            "steps": tuple(_checked_step(step) for step in reply.steps),
            "prompt_tokens": token_count(reply.prompt_tokens),
            "completion_tokens": token_count(reply.completion_tokens),
            "usd": money(reply.usd),
        }
    except InputError as error:
        raise BotError(f"{name} answered with a ChatReply that cannot be read: {error.problem}.") from None
    changed = {field: value for field, value in believed.items() if value is not getattr(reply, field)}
    return replace(reply, **changed) if changed else reply


def _is_step(step: object) -> bool:
    if not isinstance(step, Message) or step.role not in ("assistant", "tool"):
        return False
    texts, named = (step.content, step.reasoning), (step.name, step.tool_call_id)
    return all(isinstance(text, str) for text in texts) and all(isinstance(text, str | None) for text in named)


def _is_too_much(reply: ChatReply) -> str:
    """What is more of it than is read, if anything."""
    said: list[ChatReply | Message] = [reply, *reply.steps]
    if len(said) > MOST_STEPS:
        return f"{len(said):,} messages; no more than {MOST_STEPS:,}"
    if (most := max(len(each.tool_calls) for each in said)) > MOST_CALLS:
        return f"{most:,} calls at once; no more than {MOST_CALLS}"
    characters = sum(len(text) for each in said for text in _texts(each))
    return f"{characters:,} characters; no more than {MOST_CHARACTERS:,}" if characters > MOST_CHARACTERS else ""


def _texts(said: ChatReply | Message) -> Iterator[str]:
    """All text of a reply or of a message."""
    yield from (said.content, said.reasoning)
    for call in _calls(said):
        yield from (call["id"], *call["function"].values())


def _calls(said: ChatReply | Message) -> tuple[Mapping[str, Any], ...]:
    """Raises InputError for what are no calls."""
    if not said.tool_calls:
        return ()
    calls = tool_calls_in({"tool_calls": said.tool_calls})
    for call in calls:
        call["id"] = _encodable(call["id"])
        call["function"] = {field: _encodable(text) for field, text in call["function"].items()}
    return calls


def _checked_step(step: Message) -> Message:
    content, reasoning = _encodable(step.content), _encodable(step.reasoning)
    return replace(step, content=content, reasoning=reasoning, tool_calls=_calls(step))


def money(value: object) -> float | None:
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
