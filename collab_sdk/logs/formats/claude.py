"""The export of Claude.ai, `{"uuid", "name", "chat_messages": [{"uuid", "sender", "text", "content"}]}`.

A message holds blocks as of the Messages API, but calls and their results are both in that of the assistant. Where
messages name their `parent_message_uuid`, another answer under the same parent is an alternative.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, text_fields
from collab_sdk.logs.formats.json_fields import objects
from collab_sdk.logs.formats.logged_messages import message_of
from collab_sdk.logs.formats.trees import read_tree, with_files
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_PICTURES = ("image", "png", "jpg", "jpeg", "gif", "webp")


def _matches(row: Row) -> bool:
    messages = row.get("chat_messages")
    return isinstance(messages, list) and all(isinstance(one, Mapping) and "sender" in one for one in messages)


def _read(row: Row) -> Conversation | None:
    if not _matches(row):
        raise InputError("chat_messages must be a list of messages, each with a sender")
    messages = _in_order(row["chat_messages"])
    nodes: dict[str, Mapping[str, Any]] = {}
    parents: dict[str, Any] = {}
    before = None
    for position, message in enumerate(messages, start=1):
        name, parent = message.get("uuid"), message.get("parent_message_uuid")
        if not isinstance(name, str) or name in nodes:
            name = f"message {position}"
        nodes[name] = message
        parents[name] = parent if isinstance(parent, str) else before
        before = name
    tree = read_tree(parents, lambda name: _messages(nodes[name]), row.get("current_leaf_message_uuid"))
    last = nodes[tree.path[-1]] if tree.path else row
    title = {"title": row["name"]} if isinstance(row.get("name"), str) and row["name"] else {}
    about = {"id": row.get("uuid"), "metadata": title | text_fields(row, "model")}
    return tree.conversation(about | {"ended": last.get("created_at") or row.get("updated_at")})


def _in_order(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    indices = [one.get("index") for one in messages]
    if all(type(index) is int for index in indices) and len(set(indices)) == len(indices):
        return sorted(messages, key=lambda one: int(one["index"]))
    return messages


def _messages(value: Mapping[str, Any]) -> tuple[Message, ...]:
    """What a message says: its blocks, or where there are none its text; and a placeholder for each of its files."""
    blocks, text = value.get("content"), value.get("text")
    if not isinstance(text, str | None):
        raise InputError(f"text must be a string, not {type(text).__name__}")
    found: tuple[Message, ...] = ()
    if blocks:
        found = message_of({"role": value.get("sender"), "content": blocks})
    if not any(message.content or message.tool_calls for message in found) and text:
        found = (*found, *message_of({"role": value.get("sender"), "content": text}))
    files = [*objects(value.get("attachments")), *(objects(value.get("files")) or objects(value.get("files_v2")))]
    if files and not found:
        found = message_of({"role": value.get("sender"), "content": ""})
    return with_files(found, [_kind(file) for file in files])


def _kind(file: Mapping[str, Any]) -> str:
    said = f"{file.get('file_kind', '')} {file.get('file_type', '')} {file.get('file_name', '')}".lower()
    return "image" if said.endswith(_PICTURES) or "image" in said.split("/")[0].split() else "file"


CLAUDE = ConversationFormat(name="claude", priority=12, known_by="chat_messages", matches=_matches, read=_read)
