"""The export of ChatGPT, `{"mapping": {node: {"message", "parent"}}, "current_node"}`: a tree for each conversation.

The way from `current_node` up the parents is the conversation. Another answer beside that way, with its calls and
results, is an alternative. Messages that were edited, and what followed them, are left out.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.chatgpt_message import chatgpt_messages
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, text_fields
from collab_sdk.logs.formats.json_fields import mapping
from collab_sdk.logs.formats.trees import read_tree
from collab_sdk.types import Conversation

Nodes = Mapping[str, Mapping[str, Any]]
_BESIDE = ("current_node", "conversation_id", "moderation_results", "create_time")
_LOOKED_AT = 3


def _matches(row: Row) -> bool:
    nodes = row.get("mapping")
    if not isinstance(nodes, Mapping):
        return False
    return any(key in row for key in _BESIDE) or any(
        isinstance(node, Mapping) and "message" in node for node in islice(nodes.values(), _LOOKED_AT)
    )


def _read(row: Row) -> Conversation | None:
    nodes = _nodes(row.get("mapping"))
    children = {child: name for name, node in nodes.items() for child in _children(node)}
    parents = {name: node["parent"] if "parent" in node else children.get(name) for name, node in nodes.items()}
    tree = read_tree(parents, lambda name: chatgpt_messages(nodes[name].get("message")), row.get("current_node"))
    said = [mapping(nodes[name].get("message")) for name in tree.path]
    untrained = [name for name, message in zip(tree.path, said, strict=True) if message.get("weight") == 0]
    times = [message["create_time"] for message in said if message.get("create_time")]
    about = {"id": row.get("conversation_id") or row.get("id"), "metadata": _metadata(row, said)}
    return tree.conversation(about | {"ended": times[-1] if times else row.get("update_time")}, untrained=untrained)


def _nodes(value: Any) -> Nodes:
    if not isinstance(value, Mapping) or not all(isinstance(node, Mapping) for node in value.values()):
        raise InputError("mapping must be an object of nodes")
    return value


def _children(node: Mapping[str, Any]) -> Iterator[str]:
    found = node.get("children")
    return (child for child in (found if isinstance(found, list) else ()) if isinstance(child, str))


def _metadata(row: Row, said: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    models = [mapping(message.get("metadata")).get("model_slug") for message in said]
    known = [model for model in (row.get("default_model_slug"), *models) if isinstance(model, str)]
    return text_fields(row, "title", "create_time", "gizmo_id") | ({"model": known[-1]} if known else {})


CHATGPT = ConversationFormat(
    name="chatgpt", priority=40, known_by="mapping and current_node", matches=_matches, read=_read
)
