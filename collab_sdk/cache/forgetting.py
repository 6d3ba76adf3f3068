"""Which rows of a cache hold what somebody said: they do not know their chats, so it is looked for by its text."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from collab_sdk.cache.base import KeptCache
from collab_sdk.cache.contents import Contents
from collab_sdk.cache.record import Row

SHORTEST = 12
"""Characters without which a text tells nobody apart."""
LONGEST = 40
"""Characters of a piece that are looked for: prompts may cut a text off behind them."""
PIECE = re.compile(rf"[\w .,;:!?'()/+-]{{{SHORTEST},}}")
"""What no prompt writes otherwise, whatever it escapes."""
PIECES = 2


def forget(cache: KeptCache, texts: Iterable[str]) -> Contents:
    """Delete the rows that hold one of the texts, which match, and damaged ones.

    A text is known by its first pieces of some length. One without any, such as "thanks", is not looked for.
    """
    wanted: dict[str, set[tuple[str, ...]]] = {}
    for text in texts:
        if pieces := _pieces(text):
            wanted.setdefault(pieces[0][:SHORTEST], set()).add(tuple(pieces))
    return cache.forget(lambda row: _holds(row, wanted)) if wanted else Contents()


def _pieces(text: str) -> list[str]:
    return [piece.strip()[:LONGEST] for piece in PIECE.findall(text) if len(piece.strip()) >= SHORTEST][:PIECES]


def _holds(row: Row, wanted: Mapping[str, Iterable[tuple[str, ...]]]) -> bool:
    """`wanted` has the pieces of the texts by how their first begins: there are many texts, and one way through."""
    text = "\n".join(_strings(row))
    begun = wanted.keys() & {text[place : place + SHORTEST] for place in range(len(text) - SHORTEST + 1)}
    return any(all(piece in text for piece in pieces) for beginning in begun for pieces in wanted[beginning])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)
