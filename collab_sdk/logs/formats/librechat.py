"""LibreChat's export of a conversation, `{"conversationId", "title", "messages" or "messagesTree": [...]}`.

Messages name their parent, or hold those that follow as `children`; without branches they follow each other. Of several
ways the longest is the chat, the later of two; another answer beside it is an alternative.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.chatgpt_message import without_marks
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, first_text
from collab_sdk.logs.formats.json_fields import mapping, objects
from collab_sdk.logs.formats.logged_messages import message_of
from collab_sdk.logs.formats.trees import read_tree, with_files
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

FAILED = "errors that were shown in the assistant's place, left out"

_KEYS = ("messageId", "isCreatedByUser")
_THOUGHTS, _END = ":::thinking\n", "\n:::"
_ESCAPED_MARK, _ESCAPED = re.compile(r"\\ue202turn\d"), re.compile(r"\\u(e20[0-4])")
"""Marks of citations as models write them that cannot write private characters."""


def _matches(row: Row) -> bool:
    messages = _top(row)
    if not isinstance(messages, list) or "conversationId" not in row:
        return False
    return all(isinstance(one, Mapping) and any(key in one for key in _KEYS) for one in messages)


def _top(row: Row) -> Any:
    tree = row.get("messagesTree")
    return tree if isinstance(tree, list) else row.get("messages")


def _read(row: Row) -> Conversation | None:
    if not _matches(row):
        raise InputError("messages must be a list of messages, each with messageId or isCreatedByUser")
    nodes, parents = _tree(objects(_top(row)))
    tree = read_tree(parents, lambda name: _messages(nodes[name]), _end_of_longest(parents))
    path = [nodes[name] for name in tree.path]
    times = [message["createdAt"] for message in path if isinstance(message.get("createdAt"), str)]
    about = {"id": row.get("conversationId"), "metadata": _metadata(row, path)}
    return tree.conversation(about | {"ended": times[-1] if times else None})


def _tree(messages: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Mapping[str, Any]], dict[str, Any]]:
    """The messages and their parents by their ids, of which each has one of its own."""
    nodes: dict[str, Mapping[str, Any]] = {}
    parents: dict[str, Any] = {}
    left: list[tuple[Mapping[str, Any], str | None]] = [(message, None) for message in reversed(messages)]
    before = None
    while left:
        message, above = left.pop()
        name, parent = message.get("messageId"), message.get("parentMessageId")
        if not isinstance(name, str) or name in nodes:
            name = f"message {len(nodes) + 1}"
        nodes[name] = message
        parents[name] = above or (parent if isinstance(parent, str) else before)
        left += ((child, name) for child in reversed(objects(message.get("children"))))
        before = name
    return nodes, parents


def _end_of_longest(parents: Mapping[str, Any]) -> str | None:
    depths: dict[str, int] = {}
    for name, parent in parents.items():
        depths[name] = depths.get(parent, 0) + 1
    return max(reversed(depths), key=depths.__getitem__, default=None)


def _metadata(row: Row, path: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    models = [mapping(row.get("options")).get("model"), *(message.get("model") for message in path)]
    ratings = [mapping(message.get("feedback")).get("rating") for message in path]
    found = {
        "title": row.get("title"),
        "model": first_text(*reversed(models)),
        "rating": first_text(*reversed(ratings)),
    }
    return {key: value for key, value in found.items() if isinstance(value, str) and value}


def _messages(value: Mapping[str, Any]) -> tuple[Message, ...]:
    by_user, content, text = value.get("isCreatedByUser"), value.get("content"), value.get("text")
    if by_user is None:
        by_user = str(value.get("sender")).lower() == "user"
    if by_user:
        said = message_of({"role": "user", "content": text or content or ""})
        types = [str(file.get("type")) for file in objects(value.get("files"))]
        return with_files(said, ["image" if type.startswith("image/") else "file" for type in types])
    if value.get("error") is True:
        note(FAILED)
        return ()
    if not isinstance(content, list) or not content:
        content = _parted(text) if isinstance(text, str) else text
    if not content:
        return ()
    return tuple(_unmarked(message) for message in message_of({"role": "assistant", "content": content}))


def _parted(text: str) -> Sequence[Any]:
    """A text that may begin with the model's thoughts."""
    end = text.find(_END, len(_THOUGHTS)) if text.startswith(_THOUGHTS) else -1
    if end < 0:
        return [text] if text else []
    rest = text[end + len(_END) :].strip()
    return [{"type": "think", "think": text[len(_THOUGHTS) : end].strip()}, *filter(None, [rest])]


def _unmarked(message: Message) -> Message:
    text = message.content
    if _ESCAPED_MARK.search(text):
        text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    return replace(message, content=without_marks(text))


LIBRECHAT = ConversationFormat(
    name="librechat",
    priority=15,
    known_by="conversationId and messages with messageId",
    matches=_matches,
    read=_read,
)
