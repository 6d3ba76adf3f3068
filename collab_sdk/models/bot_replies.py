"""What somebody's own bot returns, as messages: its reply, and the calls and results on the way there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

from collab_sdk.errors import BotError, InputError, SampleError, ToolError
from collab_sdk.messages import Message, calls_of, content_of, link_tool_calls, reasoning_of, text_of
from collab_sdk.models.base import ChatReply
from collab_sdk.secrets import one_line
from collab_sdk.spec import LONGEST_RESULT
from collab_sdk.tool_calls import field_of, tool_calls_in

ECHO_WORDS = 5
"""Fewer than this, and saying the same is manners: "thanks" may well answer "thanks"."""
CALL_ITEMS = ("function_call", "custom_tool_call")
RESULT_ITEMS = ("function_call_output", "custom_tool_call_output")
ROLES: Mapping[str, str] = {
    **dict.fromkeys(("assistant", "ai", "AIMessageChunk", *CALL_ITEMS), "assistant"),
    **dict.fromkeys(("tool", "function", "ToolMessageChunk", "FunctionMessageChunk", *RESULT_ITEMS), "tool"),
    **dict.fromkeys(("user", "human", "HumanMessageChunk"), "user"),
    **dict.fromkeys(("system", "developer", "SystemMessageChunk"), "system"),
}
"""By what OpenAI's two APIs and LangChain call them."""
CALL_PARTS = frozenset(
    ["tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call", "input_json_delta"]
)
"""Kinds of content parts that hold a call which is read as one of the message's calls."""
PART_FIELDS = ("type", "text", "refusal", "id", "name", "input", "tool_use_id", "content")
"""What is read of a content part that is an object of an SDK."""
FINISH_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
"""What OpenAI and Google, Anthropic, Bedrock, and Ollama call the reason why the model stopped."""
Read = Message | SampleError
"""A message, or what is wrong with it: that matters only where it is not of the history."""


def bot_reply(
    value: Any,
    history: Sequence[Message],
    *,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
) -> ChatReply:
    """The reply in what a bot returned for `history`.

    That is a string, a message, an OpenAI completion or response, a list of messages or of a response's items, or a
    state that holds one. A list may hold only what is new, or the history too, as a graph's state does. What is new are
    the bot's steps, then its reply; calls that its last message makes are left to whoever asked. Raises BotError for
    anything else, for a list that ends with a result or with somebody else's message, and for a bot that hands its
    input back; ToolError for a result that no tool of ours might have given either.
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
        finish_reason=_finish_reason(value),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def _finish_reason(value: Any) -> str:
    """Why the model behind the bot stopped, where what the bot returned says so; "stop" where it does not.

    A completion or response of OpenAI's or Anthropic's says it itself; LangChain's messages say it in their metadata,
    of which the last message's counts, by the provider's name for it.
    """
    if isinstance(value, Mapping) and "messages" in value:  # a LangGraph state
        value = value["messages"]
    if isinstance(value, list | tuple):
        value = value[-1] if value else None
    for place in (_choice(value), value, field_of(value, "response_metadata")):
        incomplete = field_of(place, "incomplete_details")
        said = [field_of(place, name) for name in FINISH_REASONS]
        if found := next((each for each in (field_of(incomplete, "reason"), *said) if each), None):
            return found if isinstance(found, str) else "stop"
    return "stop"


def _choice(value: Any) -> Any:
    """The first choice of an OpenAI completion, or of its JSON."""
    choices = field_of(value, "choices")
    return choices[0] if isinstance(choices, list | tuple) and choices else None


def _messages(value: Any, history: Sequence[Message]) -> tuple[Message, ...]:
    """What the bot did, its reply last."""
    if isinstance(value, str):
        return (Message(role="assistant", content=value),)
    if value is None:
        raise BotError("The bot returned None; it must return its reply as text or as a message.")
    if isinstance(value, Mapping) and "messages" in value:  # a LangGraph state
        value = value["messages"]
    elif isinstance(items := field_of(value, "output"), list) and field_of(value, "role", "type") is None:
        value = items  # an OpenAI response
    elif (choice := _choice(value)) is not None:
        value = field_of(choice, "message")
        if content_of(value) is None and not tool_calls_in(value):  # cut off or filtered before its first word
            return (Message(role="assistant", content="", reasoning=reasoning_of(value)),)
    if isinstance(value, Sequence):
        if value and (isinstance(value[-1], str) or field_of(value[-1], "role", "type") is None):
            raise BotError("The bot returned a list that does not end with a message.")
        return _new_messages(value, history)
    return _new_messages([value], ())


def _new_messages(values: Sequence[Any], history: Sequence[Message]) -> tuple[Message, ...]:
    values = [value for value in values if _kind(value) != "reasoning"]
    if not values:
        raise BotError("The bot returned an empty list; it must end with its reply.")
    last = values[-1]
    if ROLES.get(kind := _kind(last)) != "assistant":
        raise BotError(f"The bot returned a message with role {kind!r}; its reply must have role 'assistant'.")
    messages = [message for message in _read(values) if isinstance(message, SampleError) or message.role != "system"]
    if isinstance(messages[-1], SampleError):
        raise messages[-1]
    new = messages[_end_of_history(messages, history) :]
    if unread := next((message for message in new if isinstance(message, SampleError)), None):
        raise unread
    done = [message for message in new if isinstance(message, Message) and message.role in ("assistant", "tool")]
    if not done:
        raise BotError("The bot returned its history and nothing new; the list must end with its reply.")
    if long := next((each for each in done if each.role == "tool" and len(each.content) > LONGEST_RESULT), None):
        raise ToolError(
            f"A tool of the bot returned {len(long.content):,} characters; no more than {LONGEST_RESULT:,} are passed "
            "on."
        )
    return link_tool_calls(done)


def _kind(value: Any) -> str:
    """The role of a message, or the type of an item."""
    return str(field_of(value, "role", "type") or "assistant")


def _read(values: Sequence[Any]) -> list[Read]:
    """The values as messages: calls that stand beside a message are its own, and results within one are apart."""
    read: list[Read] = []
    for value in values:
        content = content_of(value)
        parts = [_part(part) for part in content] if isinstance(content, list | tuple) else content
        results = _results_in(parts) if ROLES.get(_kind(value)) == "user" else []
        read += [_result(each.get("content"), each.get("tool_use_id")) for each in results]
        if results and not (parts := [part for part in parts if part not in results]):
            continue
        message = _message(value, parts)
        before = read[-1] if read else None
        if _kind(value) in CALL_ITEMS and isinstance(message, Message) and _is_of_assistant(before):
            read[-1] = replace(before, tool_calls=(*before.tool_calls, *message.tool_calls))
        else:
            read.append(message)
    return read


def _is_of_assistant(message: Read | None) -> TypeGuard[Message]:
    return isinstance(message, Message) and message.role == "assistant"


def _part(part: Any) -> Any:
    if isinstance(part, str | Mapping):
        return part
    return {name: found for name in PART_FIELDS if (found := getattr(part, name, None)) is not None}


def _results_in(parts: Any) -> list[Mapping[str, Any]]:
    """Results among the parts of a user's message, where Anthropic has them."""
    found = parts if isinstance(parts, list) else []
    return [part for part in found if isinstance(part, Mapping) and part.get("type") == "tool_result"]


def _message(value: Any, content: Any) -> Read:
    kind = _kind(value)
    if (role := ROLES.get(kind)) is None:
        return BotError(f"The bot returned a message of an unknown role or type: {one_line(kind, 40)!r}.")
    if kind in RESULT_ITEMS:
        return _result(field_of(value, "output"), field_of(value, "call_id"))
    if role == "tool":
        return _result(content, field_of(value, "tool_call_id"), field_of(value, "name"))
    try:
        calls = (_item_call(value) if kind in CALL_ITEMS else calls_of(value)) if role == "assistant" else ()
        if content is None and not calls and role == "assistant":
            return BotError(f"The bot returned {type(value).__name__}; expected text, a message or a list of messages.")
        reasoning = reasoning_of(value) if role == "assistant" else ""
        return Message(role=role, content=_text(value, content), tool_calls=calls, reasoning=reasoning)
    except InputError as error:
        return _unreadable(error)


def _unreadable(error: InputError) -> BotError:
    return BotError(f"The bot returned a message that cannot be read: {error.problem}.")


def _item_call(item: Any) -> tuple[Mapping[str, Any], ...]:
    """The call that an item of a response is."""
    arguments = field_of(item, "arguments", "input")
    return tool_calls_in(
        {"tool_calls": [{"id": field_of(item, "call_id"), "name": field_of(item, "name"), "args": arguments}]}
    )


def _result(content: Any, answered: Any, name: Any = None) -> Read:
    parts = [_part(part) for part in content] if isinstance(content, list | tuple) else []
    if any(isinstance(part, Mapping) and not isinstance(part.get("text"), str) for part in parts):
        return ToolError("A tool of the bot returned an image or a recording; results are text or JSON.")
    try:
        return Message(
            role="tool",
            content=text_of(parts or content, empty_allowed=True),
            name=name if isinstance(name, str) else None,
            tool_call_id=None if answered is None else str(answered),
        )
    except InputError as error:
        return _unreadable(error)


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


def _end_of_history(messages: Sequence[Read], history: Sequence[Message]) -> int:
    """Where in the returned messages the new ones begin; nobody's instructions are among them.

    The history may stand in front whole, trimmed, or behind a summary; or only a part of it, or with the user's
    messages rewritten. It ends where most of the messages before are those of the history. A list without a user's
    message is all new, since ids may begin anew in every turn; all but results in front, whose calls it does not have.
    """
    if not any(isinstance(message, Message) and message.role == "user" for message in messages):
        return next(n for n, message in enumerate(messages) if not _is_old_result(message, history))
    history = [message for message in history if message.role != "system"]
    best, most = 0, 0
    for end in range(1, len(messages) + 1):
        if (found := _known_before(messages[:end], history)) > most:
            best, most = end, found
    if most:
        return best
    for place, message in enumerate(messages):
        is_deed = isinstance(message, SampleError) or message.role in ("assistant", "tool")
        if is_deed and not any(_is_same(message, known) for known in history):
            return place
    return len(messages) - 1


def _is_old_result(message: Read, history: Sequence[Message]) -> bool:
    is_result = isinstance(message, Message) and message.role == "tool"
    return is_result and any(_is_same(message, known) for known in history)


def _known_before(messages: Sequence[Read], history: Sequence[Message]) -> int:
    """How many of the last messages are the last ones of the history, those of the user rewritten or not.

    Rewritten ones are passed over, and not counted.
    """
    same = 0
    for one, other in zip(reversed(messages), reversed(history), strict=False):
        if _is_same(one, other):
            same += 1
        elif isinstance(one, SampleError) or not one.role == other.role == "user":
            break
    return same


def _is_same(returned: Read, known: Message) -> bool:
    """Whether the bot was given this message: ids tell results of the same text apart."""
    if isinstance(returned, SampleError) or returned.role != known.role:
        return False
    if {returned.tool_call_id, known.tool_call_id}.isdisjoint([None]) and returned.tool_call_id != known.tool_call_id:
        return False
    return _words(returned) == _words(known)


def _words(message: Message) -> Iterable[Any]:
    calls = [(call.id, call.name, call.parsed if call.parsed is not None else call.arguments) for call in message.calls]
    return message.content.split(), calls
