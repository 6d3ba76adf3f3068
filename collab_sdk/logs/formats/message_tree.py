"""Messages that name the one that they answer, in rows or in each other: which way through them is the chat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.logged_messages import message_of
from collab_sdk.logs.formats.trees import Tree
from collab_sdk.logs.formats.trees import read_tree as read_way


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    id: str
    parent: str | None
    message: Mapping[str, Any]
    rank: float | None = None
    """The better, the lower."""


def read_tree(nodes: Sequence[Node]) -> Tree:
    """The chat through the messages.

    At each fork the way of the best rank is taken, or the one with the latest message where nothing is ranked. Raises
    InputError for a circle, and for several beginnings.
    """
    known = {node.id: node for node in nodes}
    parents = {node.id: node.parent if node.parent in known else None for node in known.values()}
    children: dict[str | None, list[Node]] = {}
    for node in known.values():
        children.setdefault(parents[node.id], []).append(node)
    roots = children.get(None, [])
    if len(roots) != 1:
        problem = "they go in a circle" if not roots else f"{len(roots)} of them answer none"
        raise InputError(f"the messages are not a chat: {problem}")
    last = _end(roots[0], children, _latest(nodes, known))
    return read_way(parents, lambda name: message_of(known[name].message), last)


def _latest(nodes: Sequence[Node], known: Mapping[str, Node]) -> dict[str, int]:
    """The place of the latest message at or below each."""
    latest: dict[str, int] = {}
    for place in range(len(nodes) - 1, -1, -1):
        above: str | None = nodes[place].id
        while above is not None and above in known and above not in latest:
            latest[above] = place
            above = known[above].parent
    return latest


def _end(node: Node, children: Mapping[str | None, list[Node]], latest: Mapping[str, int]) -> str:
    """Where the best way down ends."""
    while below := children.get(node.id):
        ranked = [each for each in below if each.rank is not None]
        node = min(ranked, key=lambda each: each.rank or 0.0) if ranked else max(below, key=lambda e: latest[e.id])
    return node.id
