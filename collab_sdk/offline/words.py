"""Reading text word by word."""

import re
from itertools import accumulate

TOKEN = re.compile(r"\d+(?:[.,]\d+)*%?|[^\W_]+")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
IDIOMS = re.compile(
    r"(?<!for )\bhere(?:['’]s| you (?:go|are)| is| are| it| on| in| at)\b"
    r"|\b(?:over|right|correct|ready|displayed|order) here\b|\b(?:ready|good|set|way) to go\b"
)
"""Phrases whose `here` and `to go` say nothing about where a coffee is drunk."""
ALIASES = {"decaffeinated": "decaf", "takeaway": "togo", "takeout": "togo", "sweetner": "sweetener"}


class Words:
    """The words of a text, and a search that ignores case, spaces and punctuation: "Non-Fat" is said by "nonfat"."""

    __slots__ = ("_edges", "_joined", "tokens")

    def __init__(self, text: str) -> None:
        self.tokens = tokens_of(text)
        self._joined = "".join(self.tokens)
        self._edges = {0, *accumulate(map(len, self.tokens))}

    def say(self, squashed: str) -> bool:
        """Whether a run of whole words, put together, reads `squashed` or its plural."""
        start = self._joined.find(squashed)
        while start >= 0:
            if start in self._edges and self._ends_at(start + len(squashed)):
                return True
            start = self._joined.find(squashed, start + 1)
        return False

    def _ends_at(self, end: int) -> bool:
        return end in self._edges or (end + 1 in self._edges and self._joined[end] == "s")


def tokens_of(text: str) -> list[str]:
    # As one word, "to go" can be told from a "to" and a "go" that stand together by chance.
    words = TOKEN.findall(IDIOMS.sub(" ", text.lower()).replace("to go", "togo"))
    return [ALIASES.get(word, word) for word in words]


def squash(text: str) -> str:
    return "".join(tokens_of(text))


def sentences(text: str) -> list[str]:
    return [sentence for sentence in SENTENCE_END.split(text.strip()) if sentence]
