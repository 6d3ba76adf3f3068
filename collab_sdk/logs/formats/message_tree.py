"""Messages that name the one that they answer: the way through them that is the chat, and the other replies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.blocks import message_of
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message

OTHER_WAYS = "messages of the user's on other branches of a chat, left out with what follows them"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    id: str
    parent: str | None
    message: Mapping[str, Any]
    rank: float | None = None
    """The better, the lower."""


def read_tree(nodes: Sequence[Node]) -> tuple[tuple[Message, ...], dict[int, list[tuple[Message, ...]]], list[Node]]:
    """The messages of the chat, other responses by the place in which they begin, and the nodes of the chat.

    At each fork the way of the best rank is taken, or the one with the latest message where nothing is ranked. Raises
    InputError for a circle, and for several beginnings.
    """
    known = {node.id: node for node in nodes}
    children: dict[str | None, list[Node]] = {}
    for node in known.values():
        children.setdefault(node.parent if node.parent in known else None, []).append(node)
    roots = children.get(None, [])
    if len(roots) != 1:
        problem = "they go in a circle" if not roots else f"{len(roots)} of them answer none"
        raise InputError(f"the messages are no chat: {problem}")
    latest = _latest(nodes, known)
    way = _way(roots[0], children, latest)
    messages: list[Message] = []
    others: dict[int, list[tuple[Message, ...]]] = {}
    for node in way:
        read = message_of(node.message)
        siblings = [each for each in children[node.parent if node.parent in known else None] if each is not node]
        for sibling in siblings:
            response = _response(_way(sibling, children, latest))
            if response and read and read[0].role == "assistant":
                others.setdefault(len(messages), []).append(response)
            elif not response:
                note(OTHER_WAYS)
        messages += read
    return tuple(messages), others, way


def _latest(nodes: Sequence[Node], known: Mapping[str, Node]) -> dict[str, int]:
    """The place of the latest message at or below each."""
    latest: dict[str, int] = {}
    for place in range(len(nodes) - 1, -1, -1):
        above: str | None = nodes[place].id
        while above is not None and above in known and above not in latest:
            latest[above] = place
            above = known[above].parent
    return latest


def _way(node: Node, children: Mapping[str | None, list[Node]], latest: Mapping[str, int]) -> list[Node]:
    way = [node]
    while below := children.get(way[-1].id):
        ranked = [each for each in below if each.rank is not None]
        best = min(ranked, key=lambda each: each.rank or 0.0) if ranked else max(below, key=lambda e: latest[e.id])
        way.append(best)
    return way


def _response(way: Iterable[Node]) -> tuple[Message, ...]:
    """What the assistant does until the user speaks; nothing where the user begins."""
    said: list[Message] = []
    for node in way:
        for message in message_of(node.message):
            if message.role == "user":
                return tuple(said)
            said.append(message)
    return tuple(said)
