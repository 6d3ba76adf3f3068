"""Open Assistant's message trees, `{"message_tree_id", "prompt": {"text", "role", "replies": [...]}}`."""

from collections.abc import Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import ConversationFormat, Row, text_fields
from collab_sdk.logs.formats.message_tree import Node, read_tree
from collab_sdk.types import Conversation


def _matches(row: Row) -> bool:
    prompt = row.get("prompt")
    return isinstance(prompt, Mapping) and "replies" in prompt and "role" in prompt


def _read(row: Row) -> Conversation | None:
    tree = read_tree(_nodes(row["prompt"]))
    kept = text_fields(row, "tree_state", "origin") | text_fields(row["prompt"], "lang")
    return tree.conversation({"id": row.get("message_tree_id"), "metadata": kept})


def _nodes(prompt: Mapping[str, Any]) -> list[Node]:
    """Raises InputError for a reply that is none."""
    nodes: list[Node] = []
    waiting: list[tuple[str | None, Any]] = [(None, prompt)]
    for parent, one in waiting:
        if not isinstance(one, Mapping):
            raise InputError(f"a reply must be an object with text and role, not {type(one).__name__}")
        rank = one.get("rank")
        nodes.append(
            Node(id=str(len(nodes)), parent=parent, message=one, rank=rank if isinstance(rank, int | float) else None)
        )
        replies = one.get("replies")
        waiting += [(nodes[-1].id, reply) for reply in replies] if isinstance(replies, list) else []
    return nodes


OASST = ConversationFormat(
    name="oasst", priority=76, known_by="message_tree_id, prompt with replies", matches=_matches, read=_read
)
