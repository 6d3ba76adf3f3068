"""Which conversations are held out: decided by what was said in them, as the same chat is logged under many ids."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable

ENOUGH = 14
"""Letters and digits that tell a conversation from others; one of Chinese, Japanese or Korean counts as two."""

SHARE, MOST_HELD_OUT = 0.1, 0.25
ENOUGH_HELD_OUT = 24
"""Conversations: three times as many as an interval of a mean needs, as margins differ widely from pair to pair."""
HASHES = 2**64


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
    return _value(known_by) < fraction * HASHES


def _value(known_by: str) -> int:
    return int(known_by[:16], 16)


def held_out_share(known_by: Iterable[str]) -> float:
    """The share to hold out of the conversations with these hashes, for `is_held_out`.

    A tenth, or ENOUGH_HELD_OUT where that would be fewer, but no more than MOST_HELD_OUT of all: exactly so many, which
    a share of a few dozen hashes would be by luck alone.
    """
    values = sorted(map(_value, set(known_by)))
    wanted = round(min(max(SHARE * len(values), ENOUGH_HELD_OUT), MOST_HELD_OUT * len(values)))
    if not wanted:
        return SHARE
    return (values[wanted - 1] + values[wanted]) / 2 / HASHES


def _tells(begun: list[str]) -> bool:
    return sum(map(_letters, begun)) >= ENOUGH


def _plain(text: str) -> str:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(words) or text.strip()


def _letters(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else letter.isalnum() for letter in text)


def _digest(said: list[str]) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
