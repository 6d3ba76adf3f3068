"""The export of ChatGPT, `{"mapping": {node: {"message", "parent"}}, "current_node"}`: a tree for each conversation.

The way from `current_node` up the parents is the conversation. An assistant message beside that way, under the same
parent, is an alternative. Messages that were edited, and what followed them, are left out.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.chatgpt_message import chatgpt_message
from collab_sdk.logs.formats.conversation_row import (
    ConversationFormat,
    Row,
    text_fields,
    to_conversation,
    with_alternatives,
)
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

Nodes = Mapping[str, Mapping[str, Any]]


def _matches(row: Row) -> bool:
    return "mapping" in row


def _read(row: Row) -> Conversation:
    nodes = _nodes(row.get("mapping"))
    messages = {name: message for name, node in nodes.items() if (message := _message(name, node))}
    path = [name for name in reversed(_way_up(_last_node(row, nodes), nodes)) if name in messages]
    conversation = to_conversation(
        {"id": row.get("conversation_id") or row.get("id"), "metadata": _metadata(row, path, nodes)},
        tuple(messages[name] for name in path),
    )
    under = _replies_under(messages, nodes)
    others = {at: under[parent] for at, parent in enumerate(path[:-1], start=1) if len(under[parent]) > 1}
    return with_alternatives(conversation, others)


def _nodes(value: Any) -> Nodes:
    if not isinstance(value, Mapping) or not all(isinstance(node, Mapping) for node in value.values()):
        raise InputError("mapping must be an object of nodes")
    return value


def _message(name: str, node: Mapping[str, Any]) -> Message | None:
    try:
        return chatgpt_message(node.get("message"))
    except InputError as error:
        raise InputError(f"node {name}: {error.problem}") from None


def _last_node(row: Row, nodes: Nodes) -> str:
    """Where the conversation ended, or the last leaf if the export does not say."""
    last = row.get("current_node")
    if isinstance(last, str):
        if last not in nodes:
            raise InputError(f"current_node {last} is not in the mapping")
        return last
    parents = {node.get("parent") for node in nodes.values() if isinstance(node.get("parent"), str)}
    leaves = [name for name in nodes if name not in parents]
    if not leaves:
        raise InputError("no messages" if not nodes else "the message tree is a cycle")
    return leaves[-1]


def _way_up(name: str, nodes: Nodes) -> list[str]:
    """The node and its ancestors. Raises InputError for a tree that is none."""
    way = {name: None}
    while isinstance(parent := nodes[name].get("parent"), str):
        if parent in way:
            raise InputError(f"the message tree has a cycle at node {parent}")
        if parent not in nodes:
            raise InputError(f"the parent of node {name} is not in the mapping")
        way[parent] = None
        name = parent
    return list(way)


def _replies_under(messages: Mapping[str, Message], nodes: Nodes) -> Mapping[Any, list[list[Message]]]:
    """The assistant's texts by the message they answer, seeing through nodes that hold none, such as its thoughts."""
    replies: defaultdict[Any, list[list[Message]]] = defaultdict(list)
    for name, message in messages.items():
        if message.role == "assistant" and not message.tool_calls:
            replies[_message_above(name, messages, nodes)].append([message])
    return replies


def _message_above(name: str, messages: Mapping[str, Message], nodes: Nodes) -> str | None:
    seen = {name}
    while isinstance(parent := nodes[name].get("parent"), str) and parent in nodes and parent not in seen:
        if parent in messages:
            return parent
        seen.add(parent)
        name = parent
    return None


def _metadata(row: Row, path: list[str], nodes: Nodes) -> Mapping[str, Any]:
    about = [nodes[name]["message"].get("metadata") for name in path]
    models = [one.get("model_slug") for one in about if isinstance(one, Mapping)]
    known = [model for model in (row.get("default_model_slug"), *models) if isinstance(model, str)]
    return text_fields(row, "title", "create_time") | ({"model": known[-1]} if known else {})


CHATGPT = ConversationFormat(name="chatgpt", priority=40, known_by="mapping", matches=_matches, read=_read)
