"""What can be chosen, read off a text that offers it: `Sizes: small or large`, `whole, oat or soy milk?`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from collab_sdk.offline.words import SENTENCE_END, squash

LISTED = re.compile(
    r"(?:^|[.;:!?(\n•*-]\s*)(?:(?:our|the|your|all|possible|available)\s+)*"
    r"(?P<label>[^\W\d_][\w'’-]*(?:\s+[\w'’-]+){0,2}?)\s*"
    r"(?::|=|\b(?:are|is|can be|may be|is one of|include|includes|come in|comes in|come as|comes as)\b)\s*"
    r"(?:one of|either|either of)?\s*(?P<items>[^.;:!?\n()]+)",
    re.IGNORECASE,
)
"""A kind of thing, and what there is of it."""
OFFERED = re.compile(
    r"\b(?:have|offer|carry|serve|sell|do|choose (?:from|between)|choice of|available (?:in|as)|such as|options are"
    r"|pick (?:from|between)|comes? (?:in|as|with))\s+(?P<items>[^.;:!?\n()]+)",
    re.IGNORECASE,
)
ITEM = r"[\w%'’-]+(?:\s+[\w%'’-]+){0,2}\s*"
EITHER = re.compile(rf"(?<![\w%'’-])(?P<items>(?:{ITEM},\s*)*{ITEM},?\s*\bor\s+[^.;:!?\n(),]+)")
"""The last choices of a sentence, wherever it offers any."""
SEPARATOR = re.compile(r"\s*(?:,\s*(?:and|or)\b|,|/|\||\b(?:and|or)\b)\s*", re.IGNORECASE)
FUNCTION = frozenset(
    "a an the it that this is are be as in on at by for with of do does did would will can could should may you your i "
    "we us me my our like want prefer need have has get take choose pick what which how when where who and or either "
    "one some any please so would'd you'd make made there them they if just also only e.g".split()
)
"""Words that a value neither begins nor ends with."""
LEAD = FUNCTION - frozenset("a an the one some any".split())
"""Words of the sentence around a choice."""
PERSON = re.compile(
    r"\b(?:i|you|we|they|he|she|it|this|that|these|those|there|anything|something|everything)\b", re.IGNORECASE
)
UNSHARED = frozenset("to more less not no very rather another other else".split())
"""Words before a last value that tell nothing of the ones before it; alone they are no values."""
LONGEST, MOST = 4, 30
"""Words of a value, and values of a slot."""
SENTENCE = 600
"""Characters. What is longer offers no choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """Something to choose: its name, and the values that the text offers."""

    name: str
    values: tuple[str, ...]


def slots(text: str) -> list[Slot]:
    """The choices that a text offers, each with at least two values."""
    found: dict[str, Slot] = {}
    for sentence in (each for each in SENTENCE_END.split(text) if 0 < len(each) <= SENTENCE):
        for slot in _offered(sentence):
            if not any(set(map(squash, slot.values)) & set(map(squash, other.values)) for other in found.values()):
                found.setdefault(slot.name, slot)
    return list(found.values())


def _offered(sentence: str) -> Iterator[Slot]:
    for match in LISTED.finditer(sentence):
        name = _bare(match["label"])
        if name and FUNCTION.isdisjoint(name.split()) and not PERSON.search(match["label"]):
            yield from _slot(match["items"], name=name)
    for pattern in (OFFERED, EITHER):
        for match in pattern.finditer(sentence):
            yield from _slot(match["items"])


def _slot(text: str, *, name: str = "") -> Iterator[Slot]:
    first, *rest = SEPARATOR.split(text.strip())
    if not rest:
        return
    items = [first, *rest]
    if not name:  # `Sure, would you like red, green or black?`: the choice begins in the last item before it ends
        begin = max((n for n, item in enumerate(items[:-1]) if not LEAD.isdisjoint(item.lower().split())), default=0)
        items = items[begin:]
    values = [value for value in (_bare(items[0], end=True), *map(_bare, items[1:])) if value]
    *modifier, head = values[-1].split() if values else [""]
    is_shared = len(modifier) == 1 and modifier[0] not in UNSHARED
    if is_shared and not name and all(len(value.split()) == 1 for value in values[:-1]):
        values = [*(f"{value} {head}" for value in values[:-1]), values[-1]]
        name = head
    values = list(dict.fromkeys(value for value in values if squash(value) and value not in UNSHARED))[:MOST]
    if len(values) > 1 and all(len(value.split()) <= LONGEST for value in values):
        yield Slot(name=_singular(name) or " or ".join(values), values=tuple(values))


def _bare(words: str, *, end: bool = False) -> str:
    """The words without what is no part of a value; with `end`, those after the last word that is none."""
    kept = words.lower().split()
    while kept and kept[0] in FUNCTION:
        kept = kept[1:]
    while kept and kept[-1] in FUNCTION:
        kept = kept[:-1]
    if end:
        for place, word in reversed(list(enumerate(kept))):
            if word in FUNCTION:
                return " ".join(kept[place + 1 :])
    return " ".join(kept)


def _singular(name: str) -> str:
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name
