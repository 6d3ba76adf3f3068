"""Whether somebody only says goodbye or thank you: two such messages in a row end a conversation.

The words are in `farewells.txt`. In a language that is not there, a conversation ends as others do: when the user says
so, when both repeat themselves, or by its length.
"""

import re
import unicodedata
from functools import cache
from pathlib import Path

__all__ = ["is_farewell"]

LONGEST = 120
"""Characters of a farewell."""
BESIDE = frozenset(
    "a again and any day have is it later lot lots many much my no one problem rest see so soon take that that's the "
    "time to too very you you're your".split()
)
"""Of the English words: what says no goodbye by itself, and stands in other answers as often."""
UNSPACED = "*"
"""Behind the name of a language that puts no space between words."""


def is_farewell(text: str) -> bool:
    """Whether the text holds nothing but words of farewell, thanks or assent, all of one language."""
    if len(text) > LONGEST:
        return False
    text = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    kept = [each if unicodedata.category(each)[0] in "LMN" or each in "'\u200c" else " " for each in text]
    words, joined = "".join(kept).split(), "".join("".join(kept).split())
    vocabularies, patterns = _known()
    return not BESIDE.issuperset(words) and (
        any(known.issuperset(words) for known in vocabularies) or any(known.fullmatch(joined) for known in patterns)
    )


@cache
def _known() -> tuple[list[frozenset[str]], list[re.Pattern[str]]]:
    """The words of each language that has spaces between them, and what a text of such words is in each other."""
    lines = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()[1:]
    vocabularies, patterns = [], []
    for line in lines:
        language, _, words = unicodedata.normalize("NFC", line).partition(": ")
        if language.endswith(UNSPACED):
            longest_first = sorted(map(re.escape, words.split()), key=len, reverse=True)
            patterns.append(re.compile(f"(?:{'|'.join(longest_first)})+"))
        else:
            vocabularies.append(frozenset(words.split()))
    return vocabularies, patterns
