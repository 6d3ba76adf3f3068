"""Which conversations are held out: decided by what was said in them, as the same chat is logged under many ids."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable

ENOUGH = 14
"""Letters and digits that tell a conversation from others; one of Chinese, Japanese or Korean counts as two."""


def opening_of(said: Iterable[str]) -> str:
    """What a conversation is known by: a hash of how its user, who said all of `said`, begins.

    That is their first message, without case and punctuation. Where it is as short as a greeting, the messages after it
    count too, until there are ENOUGH letters: otherwise all chats that begin with "Hi" would be held out, or none.
    """
    begun: list[str] = []
    for text in said:
        begun.append(_plain(text))
        if _tells(begun):
            break
    return _digest(begun)


def tells_apart(said: Iterable[str]) -> bool:
    """Whether it is more than a greeting, with which many conversations may begin."""
    return _tells(list(map(_plain, said)))


def whole_of(said: Iterable[str]) -> str:
    """A hash of all that the user said, without case and punctuation."""
    return _digest(list(map(_plain, said)))


def is_held_out(known_by: str, fraction: float) -> bool:
    """Whether the conversation with such a hash is held out: the same one in every run and on every machine."""
    return int(known_by[:16], 16) < fraction * 2**64


def _tells(begun: list[str]) -> bool:
    return sum(map(_letters, begun)) >= ENOUGH


def _plain(text: str) -> str:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(words) or text.strip()


def _letters(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else letter.isalnum() for letter in text)


def _digest(said: list[str]) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
