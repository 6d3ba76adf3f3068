"""The export of DeepSeek's chat, `{"mapping": {node: {"parent", "message": {"fragments": [...]}}}, "inserted_at"}`.

It is a tree as in ChatGPT's export, whose last leaf is the end of the chat. The kinds of fragments tell who speaks.
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, first_text
from collab_sdk.logs.formats.json_fields import mapping, objects
from collab_sdk.logs.formats.trees import read_tree, with_files
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

SEARCHES = "pages that the assistant found and uses of tools that are not logged whole, left out"
_CITATION = re.compile(r"\[citation:\d{1,6}\]")
_LOOKED_AT = 5


def _matches(row: Row) -> bool:
    nodes = row.get("mapping")
    return isinstance(nodes, Mapping) and any(
        "fragments" in mapping(mapping(node).get("message")) for node in islice(nodes.values(), _LOOKED_AT)
    )


def _read(row: Row) -> Conversation | None:
    if not _matches(row):
        raise InputError("mapping must be an object of nodes, whose messages have fragments")
    nodes = {name: mapping(node) for name, node in row["mapping"].items()}
    tree = read_tree(
        {name: node.get("parent") for name, node in nodes.items()},
        lambda name: _messages(mapping(nodes[name].get("message"))),
    )
    said = [mapping(nodes[name].get("message")) for name in tree.path]
    found = {"title": row.get("title"), "model": first_text(*(message.get("model") for message in reversed(said)))}
    metadata = {key: value for key, value in found.items() if isinstance(value, str) and value}
    ended = first_text(*(message.get("inserted_at") for message in reversed(said)), row.get("updated_at"))
    return tree.conversation({"id": row.get("id"), "metadata": metadata, "ended": ended})


def _messages(value: Mapping[str, Any]) -> tuple[Message, ...]:
    fragments = objects(value.get("fragments"))
    kinds: dict[str, list[str]] = {"REQUEST": [], "RESPONSE": [], "THINK": []}
    for fragment in fragments:
        text = fragment.get("content")
        kind = fragment.get("type")
        if not isinstance(kind, str) or kind not in kinds:
            note(SEARCHES)
        elif isinstance(text, str) and text:
            kinds[kind].append(text)
    if any(fragment.get("type") == "REQUEST" for fragment in fragments):
        said = [Message(role="user", content="\n".join(kinds["REQUEST"]))]
        return with_files(said, ["file"] * len(objects(value.get("files"))))
    text = _CITATION.sub("", "\n".join(kinds["RESPONSE"]))
    thoughts = "\n".join(kinds["THINK"])
    return (Message(role="assistant", content=text, reasoning=thoughts),) if text or thoughts else ()


DEEPSEEK = ConversationFormat(
    name="deepseek", priority=39, known_by="mapping with fragments", matches=_matches, read=_read
)
