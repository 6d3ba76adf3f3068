"""What somebody's own bot returns, as messages: its reply, and the calls and results on the way there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collab_sdk.errors import BotError, InputError
from collab_sdk.messages import Message, link_tool_calls, reasoning_of, text_of
from collab_sdk.models.base import ChatReply
from collab_sdk.tool_calls import field_of, tool_calls_in

ECHO_WORDS = 5
"""Fewer than this, and saying the same is manners: "thanks" may well answer "thanks"."""
ROLES: Mapping[str, str] = {
    **dict.fromkeys(("assistant", "ai", "AIMessageChunk"), "assistant"),
    **dict.fromkeys(("tool", "function", "ToolMessageChunk", "FunctionMessageChunk"), "tool"),
    **dict.fromkeys(("user", "human", "HumanMessageChunk"), "user"),
}
"""By what OpenAI and LangChain call them. All others are instructions, which no user hears and nobody does."""
CALL_PARTS = frozenset(
    ["tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call", "input_json_delta"]
)
"""Kinds of content parts that hold a call which stands among the message's calls too."""


def bot_reply(
    value: Any,
    history: Sequence[Message],
    *,
    finish_reason: str = "stop",
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
) -> ChatReply:
    """The reply in what a bot returned for `history`.

    That is a string, a message, an OpenAI completion, a list of messages or a state that holds one. A list may hold
    only what is new, or the history too, as a graph's state does. What is new are the bot's steps, then its reply;
    calls that its last message makes are left to whoever asked. Raises BotError for anything else, for a list that
    ends with a result or with somebody else's message, and for a bot that hands its input back.
    """
    *steps, last = _messages(value, history)
    text, asked = last.content, history[-1] if history else None
    is_echo = asked is not None and asked.role == "user" and text.strip() == asked.content.strip()
    if is_echo and not last.tool_calls and len(text.split()) >= ECHO_WORDS:
        raise BotError("The bot returned the user's own message; it must return its reply.")
    return ChatReply(
        content=text,
        tool_calls=last.tool_calls,
        steps=tuple(steps),
        reasoning=last.reasoning,
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def finish_reason_of(value: Any) -> str:
    """Why the model behind the bot stopped, where an OpenAI completion says so."""
    choices = getattr(value, "choices", None)
    return str(choices[0].finish_reason or "stop") if choices else "stop"


def _messages(value: Any, history: Sequence[Message]) -> tuple[Message, ...]:
    """What the bot did, its reply last."""
    if isinstance(value, str):
        return (Message(role="assistant", content=value),)
    if value is None:
        raise BotError("The bot returned None; it must return its reply as text or as a message.")
    if isinstance(value, Mapping) and "messages" in value:  # a LangGraph state
        value = value["messages"]
    if choices := getattr(value, "choices", None):  # an OpenAI completion
        value = choices[0].message
        if value.content is None and not tool_calls_in(value):  # cut off or filtered before its first word
            return (Message(role="assistant", content="", reasoning=reasoning_of(value)),)
    if isinstance(value, Sequence):
        return _new_messages(value, history)
    return link_tool_calls([_reply(value)])


def _new_messages(values: Sequence[Any], history: Sequence[Message]) -> tuple[Message, ...]:
    if not values:
        raise BotError("The bot returned an empty list; it must end with its reply.")
    last = values[-1]
    if isinstance(last, str) or field_of(last, "role", "type") is None:
        raise BotError("The bot returned a list that does not end with a message.")
    _reply(last)
    messages = [_message(value) for value in values]
    new = messages[_end_of_history(messages, history) :]
    if unread := next((message for message in new if isinstance(message, BotError)), None):
        raise unread
    done = [message for message in new if isinstance(message, Message) and message.role in ("assistant", "tool")]
    if not done:
        raise BotError("The bot returned its history and nothing new; the list must end with its reply.")
    return link_tool_calls(done)


def _reply(value: Any) -> Message:
    """A message that can be the bot's last. Raises BotError for any other."""
    role = field_of(value, "role", "type")
    if role is not None and ROLES.get(str(role)) != "assistant":
        raise BotError(f"The bot returned a message with role {role!r}; its reply must have role 'assistant'.")
    message = _message(value)
    if isinstance(message, BotError):
        raise message
    return message


def _message(value: Any) -> Message | BotError:
    """The message, or what is wrong with it: that matters only where it is not of the history."""
    role = ROLES.get(str(field_of(value, "role", "type") or "assistant"), "system")
    content = field_of(value, "content")
    try:
        calls = tool_calls_in(value) if role == "assistant" else ()
        if content is None and not calls and role == "assistant":
            return BotError(f"The bot returned {type(value).__name__}; expected text, a message or a list of messages.")
        answered = field_of(value, "tool_call_id")
        return Message(
            role=role,
            content=_text(value, content),
            name=name if isinstance(name := field_of(value, "name"), str) and role == "tool" else None,
            tool_calls=calls,
            tool_call_id=str(answered) if answered is not None and role == "tool" else None,
            reasoning=reasoning_of(value) if role == "assistant" else "",
        )
    except InputError as error:
        return BotError(f"The bot returned a message that cannot be read: {error.problem}.")


def _text(message: Any, content: Any) -> str:
    if not isinstance(content, list):
        return text_of(content, empty_allowed=True)
    if isinstance(message, Mapping) or ROLES.get(str(getattr(message, "type", ""))) != "assistant":
        return text_of([part for part in content if not (isinstance(part, Mapping) and part.get("type") in CALL_PARTS)])
    # LangChain streams a text in pieces, and what is no text of its is a provider's own.
    texts = (part if isinstance(part, str) else part["text"] for part in content if _is_text(part))
    return "".join(texts)


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or (
        isinstance(part, Mapping) and isinstance(part.get("text"), str) and part.get("type") == "text"
    )


def _end_of_history(messages: Sequence[Message | BotError], history: Sequence[Message]) -> int:
    """Where in the returned messages the new ones begin.

    The history may stand in front whole, trimmed, or behind a summary; or only a part of it that was rewritten.
    """
    best, length = 0, 0
    for end in range(1, len(messages) + 1):
        common = _common_suffix(messages[:end], history)
        if common > length:
            best, length = end, common
    if length or not any(isinstance(message, Message) and message.role == "user" for message in messages):
        return best
    for place, message in enumerate(messages):
        is_deed = isinstance(message, BotError) or message.role in ("assistant", "tool")
        if is_deed and not any(_is_same(message, known) for known in history):
            return place
    return len(messages) - 1


def _common_suffix(messages: Sequence[Message | BotError], history: Sequence[Message]) -> int:
    """How many of the last messages are the last ones of the history."""
    pairs = zip(reversed(messages), reversed(history), strict=False)
    return next(
        (n for n, (one, other) in enumerate(pairs) if not _is_same(one, other)), min(map(len, (messages, history)))
    )


def _is_same(returned: Message | BotError, known: Message) -> bool:
    """Whether the bot was given this message: ids tell results of the same text apart."""
    if isinstance(returned, BotError) or returned.role != known.role:
        return False
    if {returned.tool_call_id, known.tool_call_id}.isdisjoint([None]) and returned.tool_call_id != known.tool_call_id:
        return False
    return _words(returned) == _words(known)


def _words(message: Message) -> Iterable[Any]:
    calls = [(call.id, call.name, call.parsed if call.parsed is not None else call.arguments) for call in message.calls]
    return message.content.split(), calls
