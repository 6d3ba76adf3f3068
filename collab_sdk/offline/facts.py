"""The goal, as facts that can be found in what people say."""

import re
from dataclasses import dataclass
from functools import lru_cache

from collab_sdk.offline.deeds import stems_of
from collab_sdk.offline.words import Words, squash, tokens_of

KEYED = re.compile(r"([^:]{1,40}):\s+(.+)")
CLAUSE_END = re.compile(r"(?<=[.!?;,])\s+")
OR = re.compile(r"\s+OR\s+")
FILLER = frozenset(
    "a about add also an and any anything are as at be by can could do does for from get give go good has have "
    "how i if in is it just kind like make me more most must my need no not of on one or order please should so "
    "some something sort than that the there they this to type use want we what which will with without would you "
    "your".split()
)
"""Words that say nothing about which fact is meant."""
EMPTY = stems_of(" ".join(FILLER))
LONG, ENOUGH = 4, 0.5
"""Words that carry a long value, and the share of them that a call about it has."""

TOPICS: tuple[tuple[frozenset[str], frozenset[str]], ...] = tuple(
    (frozenset(marks.split()), frozenset(cues.split()))
    for marks, cues in (
        ("order type service here togo", "here togo takeaway"),
        ("with add extras notes", "anything add extras modifications changes"),
        ("milk oat almond soy whole nonfat skim 2%", "milk"),
        ("syrup sweetener sugar vanilla hazelnut caramel honey", "syrup syrups sweetener sweeteners flavor flavour"),
        (
            "drink coffee tea beverage latte mocha cappuccino americano espresso macchiato cortado chai",
            "drink coffee tea",
        ),
        ("size small medium large", "size big small large"),
        ("shots single double triple", "shots shot strong"),
        ("length words pages size short long", "long length words pages short"),
        ("tone style voice formal informal casual friendly warm", "tone style voice formal informal casual"),
        ("audience readers reader recipient", "who audience reader readers reads read recipient"),
        ("date dates when day month time deadline", "when date dates day days month time"),
        ("nights days duration", "long nights days"),
        ("people guests travellers servings party", "people guests travellers servings serves"),
        ("budget price cost spend", "budget spend price cost much"),
        ("destination where place city", "where destination place city"),
        ("language python javascript", "language"),
        ("input format data", "input format data"),
        ("output result", "output return returns result"),
        ("diet allergy allergies vegetarian vegan", "diet dietary allergy allergies vegetarian vegan eat"),
        ("age birthday", "age old"),
        ("likes interests hobby hobbies", "likes interests hobby hobbies enjoy enjoys"),
        ("name", "name"),
        ("topic subject problem issue", "about topic subject problem issue"),
    )
)
"""Words of a fact, and words of a question that mean it."""

GROUPS = (
    "here,to go",
    "hot,iced",
    "small,medium,large",
    "formal,informal,casual",
    "whole milk,oat milk,almond milk,soy milk,non-fat milk,2% milk",
    "Python,JavaScript",
    "one way,round trip",
)
RIVALS: tuple[frozenset[str], ...] = tuple(frozenset(map(squash, group.split(","))) for group in GROUPS)
"""Values of which one rules out the others."""
AS_WRITTEN = {squash(value): value for group in GROUPS for value in group.split(",")}


# Facts are looked up in sets all the time; each is equal to itself alone, which makes that cheap.
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fact:
    """One requirement. Any of `values` satisfies it; a free-text line is a fact with an empty `key`."""

    key: str
    values: tuple[str, ...]
    squashed: tuple[str, ...]
    gist: frozenset[str]
    """The words that carry a longer value; empty for one that must be said as it stands."""
    cues: frozenset[str]
    """Words of a question that asks for it."""
    rivals: frozenset[str]

    @classmethod
    def of(cls, key: str, values: tuple[str, ...]) -> "Fact":
        squashed = tuple(map(squash, values))
        own = frozenset(tokens_of(key)).union(squashed, *map(tokens_of, values))
        gist = frozenset(tokens_of(values[0])) - FILLER
        rivals = frozenset().union(*(group for group in RIVALS if not group.isdisjoint(squashed))) - set(squashed)
        cues = (own - FILLER).union(rivals, *(asked for marks, asked in TOPICS if not marks.isdisjoint(own)))
        return cls(
            key=key,
            values=values,
            squashed=squashed,
            gist=gist if len(values) == 1 and len(gist) > 2 else frozenset(),
            cues=cues,
            rivals=rivals,
        )

    @property
    def line(self) -> str:
        return f"{self.key}: {' OR '.join(self.values)}" if self.key else self.values[0]

    def said_in(self, words: Words) -> bool:
        return any(map(words.say, self.squashed)) or (bool(self.gist) and self.gist.issubset(words.tokens))

    def carried_by(self, words: Words, stems: frozenset[str]) -> bool:
        """Whether a call, of these words and their stems, is about it: all of a short value, half of a long one."""
        if self.said_in(words):
            return True
        for value in self.values:
            meant, numbers = stems_of(value) - EMPTY, [word for word in tokens_of(value) if word[0].isdigit()]
            share = len(meant & stems) / len(meant) if meant else float(bool(numbers))
            if set(numbers).issubset(words.tokens) and (share == 1 or (share >= ENOUGH and len(meant) >= LONG)):
                return True
        return False

    def denied_in(self, words: Words) -> bool:
        """Whether a value that rules this one out is named, and this one is not."""
        return any(map(words.say, self.rivals)) and not self.said_in(words)


@lru_cache(maxsize=512)  # every call about one conversation brings the same goal
def parse_goal(text: str) -> tuple[Fact, ...]:
    """The facts of a goal: `key: value` lines, `OR` between values that will do, and the clauses of free-text lines."""
    facts: list[Fact] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if keyed := KEYED.fullmatch(line):
            facts += _facts(keyed[1].strip(" -*"), OR.split(keyed[2]))
        else:
            for clause in CLAUSE_END.split(line):
                facts += _facts("", [clause])
    return tuple(facts)


def _facts(key: str, values: list[str]) -> list[Fact]:
    """One fact, or none where nothing in the values can be said."""
    sayable = tuple(value.strip(" .,;!") for value in values if squash(value))
    return [Fact.of(key, sayable)] if sayable else []
