"""The keys and values of what prompts have in common: computed once, kept while memory allows.

Futures go on from a candidate, candidates from a history, and requests of one role begin with the same instructions.
transformers shares prefixes too, in its continuous batching, but it draws all the rows of a batch from one random
generator and masks logits for no row by itself: there a reply would depend on what is asked beside it.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise

from torch import Tensor

Tokens = tuple[int, ...]
States = Sequence[Tensor]
"""Keys and values of some tokens, layer by layer: keys, values, keys, ..., each [heads, tokens, width]."""
SHARED_LEAST = 16
"""Tokens. To compute fewer by themselves costs more than to compute them again in each row."""


@dataclass(slots=True, eq=False)
class Node:
    """Tokens that follow those of the node above, and their keys and values."""

    tokens: Tokens
    states: States
    children: "dict[int, Node]" = field(default_factory=dict)
    """By their first token."""
    used: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(state.nbytes for state in self.states)

    def split(self, n: int) -> None:
        """Leave the first `n` tokens here, and the others in a child. Copied, so that either can be given up."""
        rest = Node(self.tokens[n:], [state[:, n:].clone() for state in self.states], self.children, self.used)
        self.tokens, self.states = self.tokens[:n], [state[:, :n].clone() for state in self.states]
        self.children = {rest.tokens[0]: rest}


class PrefixTree:
    """Token sequences with their keys and values. It grows until trim() gives up those unused for longest."""

    def __init__(self) -> None:
        self._root = Node((), ())
        self._clock = count(1)

    def known(self, tokens: Tokens) -> int:
        """How many of the first of these tokens are kept."""
        return sum(n for _, n in self._path(tokens))

    def states(self, tokens: Tokens) -> Iterator[States]:
        """Those of `tokens`, which are known, in consecutive pieces."""
        now = next(self._clock)
        for node, n in self._path(tokens):
            node.used = now
            yield node.states if n == len(node.tokens) else [state[:, :n] for state in node.states]

    def add(self, tokens: Tokens, states: States) -> None:
        """Keep the last of `tokens`, whose keys and values these are; what comes before them is known."""
        start, node = 0, self._root
        for below, n in self._path(tokens):
            if n < len(below.tokens):
                below.split(n)
            start, node = start + n, below
        new = tokens[start:]
        if new:
            kept = [state[:, state.shape[1] - len(new) :].clone() for state in states]
            node.children[new[0]] = Node(new, kept, used=next(self._clock))

    def trim(self, limit: int) -> None:
        """Give up what is beyond `limit` bytes."""
        size, parents = 0, dict[Node, Node]()
        above = [self._root]
        while above:
            node = above.pop()
            size += node.size
            parents |= dict.fromkeys(node.children.values(), node)
            above += node.children.values()
        leaves = [(node.used, place, node) for place, node in enumerate(parents) if not node.children]
        heapq.heapify(leaves)
        while size > limit and leaves:
            _, place, leaf = heapq.heappop(leaves)
            size -= leaf.size
            parent = parents[leaf]
            del parent.children[leaf.tokens[0]]
            if not parent.children and parent is not self._root:
                heapq.heappush(leaves, (parent.used, place, parent))

    def _path(self, tokens: Tokens) -> Iterator[tuple[Node, int]]:
        """The nodes that begin `tokens`, and how many of each node's tokens do."""
        place, node = 0, self._root
        while (below := node.children.get(tokens[place]) if place < len(tokens) else None) is not None:
            n = common(below.tokens, tokens[place : place + len(below.tokens)])
            yield below, n
            if n < len(below.tokens):
                return
            place, node = place + n, below


def common(one: Tokens, other: Tokens) -> int:
    """How many of their first tokens are the same."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return next(place for place in range(shorter) if one[place] != other[place])


def rounds(sequences: Sequence[Tokens], tree: PrefixTree) -> list[list[Tokens]]:
    """What to compute, so that all `sequences` are known: each round goes on from the ones before it."""
    asked = set(sequences)
    ordered = sorted(asked)
    shared = {one[: common(one, other)] for one, other in pairwise(ordered)}
    above: list[Tokens] = []
    planned: list[list[Tokens]] = []
    for tokens in sorted(shared | asked):
        while above and tokens[: len(above[-1])] != above[-1]:
            above.pop()
        known = max(tree.known(tokens), len(above[-1]) if above else 0)
        least = 1 if tokens in asked else SHARED_LEAST
        if len(tokens) - known >= least:
            above.append(tokens)
            planned.extend([] for _ in range(len(above) - len(planned)))
            planned[len(above) - 1].append(tokens)
    return planned
