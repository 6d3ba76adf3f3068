"""Whether somebody only says goodbye or thank you: two such messages in a row end a conversation.

The words are in `farewells.txt`. In a language that is not there, a conversation ends as others do: when the user says
so, when both repeat themselves, or by its length.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["is_farewell"]

LONGEST = 120
"""Characters of a farewell."""
UNSPACED = "*"
"""Behind the name of a language that puts no space between words."""


def is_farewell(text: str) -> bool:
    """Whether the text holds nothing but words of farewell, thanks or assent, all of one language.

    Words that go with them and are as often an answer by themselves ("one night", "nada") are no farewell alone.
    """
    if len(text) > LONGEST:
        return False
    words = _words(text)
    joined = "".join(words)
    return any(language.holds(joined if language.is_unspaced else words) for language in _languages())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Language:
    """Phrases, each a tuple of words; or a string, where no space is between words."""

    is_unspaced: bool
    sayings: frozenset[Sequence[str]]
    """What says farewell, thanks or assent."""
    beside: frozenset[Sequence[str]]
    """What may stand beside it."""
    longest: int

    def holds(self, text: Sequence[str]) -> bool:
        """Whether the text is made of these phrases alone, with a saying among them."""
        reached, said = {0}, set[int]()
        for start in range(len(text)):
            if start not in reached | said:
                continue
            for end in range(start + 1, min(start + self.longest, len(text)) + 1):
                phrase = text[start:end]
                if phrase in self.sayings or (phrase in self.beside and start in said):
                    said.add(end)
                if phrase in self.beside and start in reached:
                    reached.add(end)
        return len(text) in said


def _words(text: str) -> tuple[str, ...]:
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'").replace("i\u0307", "i")  # of a Turkish İ
    kept = [each if unicodedata.category(each)[0] in "LMN" or each in "'\u200c" else " " for each in text]
    return tuple("".join(kept).split())


@cache
def _languages() -> list[_Language]:
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()[1:]
    return [_language(line) for line in lines]


def _language(line: str) -> _Language:
    name, _, listed = line.partition(": ")
    is_unspaced = name.endswith(UNSPACED)
    sayings, beside = (
        frozenset("".join(phrase) if is_unspaced else phrase for phrase in map(_words, part.split()))
        for part in listed.split(" | ")
    )
    return _Language(
        is_unspaced=is_unspaced, sayings=sayings, beside=beside, longest=max(map(len, sayings | beside), default=0)
    )
