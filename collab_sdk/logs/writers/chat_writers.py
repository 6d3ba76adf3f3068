"""Chat formats: a conversation as a row of a log."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from collab_sdk.errors import InputError, UnknownNameError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.formats.openai_messages import SCHEMA
from collab_sdk.logs.formats.tool_calls import called_function
from collab_sdk.logs.writers.base import in_order_of_calls
from collab_sdk.messages import REASONING, Message
from collab_sdk.types import Conversation, Goal

Row = dict[str, Any]
ChatWriter = Callable[[Conversation], Row]

_WORDS = {"role", "content"}
_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def _collab(conversation: Conversation) -> Row:
    """Everything there is: what this reads back is what was written."""
    row: Row = {"schema": SCHEMA, "id": conversation.id, **_openai(conversation)}
    for message, written in zip(conversation.messages, row["messages"], strict=True):
        if message.reasoning:
            written[REASONING[0]] = message.reasoning
    if goal := conversation.goal:
        row |= user_fields(goal)
    if conversation.metadata:
        row["metadata"] = dict(conversation.metadata)
    if conversation.ended is not None:
        row["ended"] = conversation.ended
    if conversation.alternatives:
        row["alternatives"] = {
            str(turn): list(map(_response, others)) for turn, others in conversation.alternatives.items()
        }
    return row


def user_fields(goal: Goal) -> Row:
    """The keys of a row that say what its user wants, who they are and what they say."""
    fields: Row = {"goal": {"text": goal.text} | ({"reference": goal.reference} if goal.reference is not None else {})}
    if goal.persona is not None:
        fields["persona"] = {name: value for name, value in asdict(goal.persona).items() if value not in (None, "", ())}
    if goal.script:
        fields["script"] = list(goal.script)
    return fields


def _response(messages: Sequence[Message]) -> str | list[Row]:
    """A response as its messages; one that is nothing but words as its text."""
    rows = [message.to_dict() for message in messages]
    return rows[0]["content"] if [row.keys() for row in rows] == [_WORDS] else rows


def _openai(conversation: Conversation) -> Row:
    row: Row = {"messages": [message.to_dict() for message in conversation.messages]}
    return row | ({"tools": [dict(tool) for tool in conversation.tools]} if conversation.tools else {})


def _sharegpt(conversation: Conversation) -> Row:
    turns = [turn for message in in_order_of_calls(conversation.messages) for turn in _turns(message)]
    row: Row = {"id": conversation.id, "conversations": turns}
    return row | ({"tools": to_json(list(conversation.tools))} if conversation.tools else {})


def _turns(message: Message) -> list[Row]:
    """What was said, and calls apart from it, since a turn of ShareGPT holds the one or the other."""
    said = [{"from": _SPEAKERS[message.role], "value": message.content}]
    if not message.tool_calls:
        return said
    calls = [called_function(call) for call in message.tool_calls]
    made = [{"name": call.get("name"), "arguments": _arguments(call.get("arguments"))} for call in calls]
    return (said if message.content else []) + [{"from": "function_call", "value": to_json(made)}]


def _arguments(text: Any) -> Any:
    """The value; text that is no JSON, or a string of it, a slip of the model, as it is."""
    try:
        value = parse_json(text) if isinstance(text, str) and text else text
    except InputError:
        return text
    return text if isinstance(value, str) else value


CHAT_WRITERS: Mapping[str, ChatWriter] = MappingProxyType({"collab": _collab, "openai": _openai, "sharegpt": _sharegpt})
"""By format. Only `collab` rows keep goals, metadata, alternatives and what was thought."""


def get_chat_writer(name: str) -> ChatWriter:
    """The writer of a chat format. Raises UnknownNameError listing the formats."""
    if name not in CHAT_WRITERS:
        raise UnknownNameError.of("chat format", name, CHAT_WRITERS)
    return CHAT_WRITERS[name]
