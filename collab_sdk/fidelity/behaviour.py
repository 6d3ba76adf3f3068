"""How alike the behaviour of real and of simulated users is, by the four dimensions of the User-Sim Index.

Source: Zhou et al. 2026, Mind the Sim2Real Gap in User Simulation for Agentic Tasks (arXiv 2603.11245): what is counted
in each dimension, and the Sørensen-Dice coefficient by which two users are compared. The word lists are our own, and
English.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import NamedTuple

from collab_sdk.fidelity.measures import is_polite, new_facts
from collab_sdk.fidelity.user_turns import ComparedTurn
from collab_sdk.simulator import SERVICES
from collab_sdk.stats import LEAST_MEAN, Estimate
from collab_sdk.stats.clusters import reach
from collab_sdk.words import words

Spoken = tuple[str, ComparedTurn]
"""A message, and where it was said."""
SpokenPairs = Sequence[tuple[str, Sequence[tuple[Spoken, Spoken]]]]
"""By conversation: the real user's and the simulated user's."""

SHORT = 3
"""Words of a short message, at most."""
ONE_MORE = 1.0
"""Conversation that is added to every share: none beside one of 300 is no difference between users."""
ACKNOWLEDGES = re.compile(
    r"\W*(?:(?:yes|yeah|yep|yup|ok|okay|sure|right|correct|fine|great|good|perfect|cool|agreed|thanks|thank you"
    r"|got it|go ahead|sounds good|no problem|please|alright)\W*)+"
)
CODE = re.compile(r"[\w.+-]{1,64}@\w[\w.-]*|#?\b\w*\d\w*")  # an address has at most 64 characters before its @
UNSURE = re.compile(
    r"\b(?:i (?:think|guess|believe|forgot|might)|not sure|unsure|maybe|perhaps|probably|possibly|dunno"
    r"|don['’]?t (?:know|remember|recall|have)|sort of|kind of|somewhat|roughly)\b"
)
SURE = re.compile(
    r"\b(?:definitely|absolutely|certainly|exactly|clearly|always|never|completely|fully|obviously|of course"
    r"|for sure|no doubt)\b"
)
OBJECTS = re.compile(
    r"\b(?:are you sure|(?:that|it)(?:['’]?s| is) (?:not (?:right|what)|wrong|incorrect)|(?:try|check) again"
    r"|i (?:already|just) (?:told|said|gave)|why (?:can|won|did|is|are)n?['’]?t|not what i|makes? no sense"
    r"|that can['’]?t be)\b"
)
CLARIFIES = re.compile(
    r"\b(?:what do(?:es)? (?:you|that|it) mean|(?:can|could) you (?:explain|clarify|repeat|be more)"
    r"|don['’]?t understand|what(?:['’]?s| is) the difference|which (?:one|of)|what exactly"
    r"|(?:i['’]?m|im) (?:confused|lost)|how so)\b"
)
ASKS_FOR = re.compile(
    r"\b(?:what (?:is|are|kinds?|types?|sizes?|other|options)|what['’]?s the|how (?:much|many|long|do|can|would)"
    r"|(?:when|where) (?:is|are|will|does|can|do)|do you (?:have|know|offer)"
    r"|(?:is|are) there|can you (?:check|tell|find|show))\b"
)
FEELS = re.compile(
    r"\b(?:frustrat\w*|upset|angry|confus\w*|worried|annoy\w*|furious|terrible|horrible|awful|ugh|stress\w*|anxious"
    r"|disappoint\w*|irritat\w*|fed up|desperate|outrag\w*)\b"
)
ACCUSES = re.compile(
    r"\b(?:your fault|blame|useless|incompetent|unacceptable|ridiculous|misleading|scam|stupid|waste of|ruined)\b"
)
CHANGES_PLAN = re.compile(
    r"\b(?:actually|instead|rather|how about|what about|what if|on second thought|never ?mind"
    r"|(?:let['’]?s|can we) (?:try|do|go)|(?:change|switch) (?:it|that|the|to|my))\b"
)


class Feature(NamedTuple):
    """What is counted of each message, and whether it is a share of messages."""

    of: Callable[[str, ComparedTurn], float | None]
    is_share: bool = True


def _has(pattern: re.Pattern[str]) -> Feature:
    return Feature(lambda message, turn: bool(pattern.search(message.casefold())))


DIMENSIONS: Mapping[str, Mapping[str, Feature]] = {
    "style": {
        "polite": Feature(is_polite),
        "short": Feature(lambda message, turn: len(words(message)) <= SHORT),
        "dashes": _has(re.compile("[–—]")),
        "acknowledges only": Feature(lambda message, turn: bool(ACKNOWLEDGES.fullmatch(message.casefold()))),
        "as an assistant": _has(SERVICES),
    },
    "information": {
        "words": Feature(lambda message, turn: len(words(message)), is_share=False),
        "numbers and codes": Feature(lambda message, turn: len(CODE.findall(message)), is_share=False),
        "goal at once": Feature(new_facts),
    },
    "clarification": {
        "unsure": _has(UNSURE),
        "sure": _has(SURE),
        "objects": _has(OBJECTS),
        "asks to clarify": _has(CLARIFIES),
        "asks for information": _has(ASKS_FOR),
    },
    "reaction": {"feelings": _has(FEELS), "accuses": _has(ACCUSES), "changes plan": _has(CHANGES_PLAN)},
}
UNEVEN = "uneven length"
"""Of the messages of a conversation: their standard deviation by their mean. It belongs to the style."""
FEATURES: Mapping[str, Sequence[str]] = {
    name: (*features, UNEVEN) if name == "style" else tuple(features) for name, features in DIMENSIONS.items()
}
SHARES = frozenset(name for features in DIMENSIONS.values() for name, each in features.items() if each.is_share)

Counts = Mapping[str, float]
"""Of features, over conversations: the sum of their means over the messages of each."""


def estimate_behaviour(pairs: SpokenPairs) -> Estimate | None:
    """The mean of the four dimensions, from 0 to 100, with a jackknife over conversations; None without a pair."""
    rows = [
        (_counts([real for real, _ in spoken]), _counts([said for _, said in spoken])) for _, spoken in pairs if spoken
    ]
    if not rows:
        return None
    real, simulated = _total(real for real, _ in rows), _total(said for _, said in rows)
    found = fmean(dimensions(real, simulated).values())
    without = [fmean(dimensions(_without(real, mine), _without(simulated, theirs)).values()) for mine, theirs in rows]
    return _jackknifed(found, without, sum(len(spoken) for _, spoken in pairs))


def estimate_variety(pairs: SpokenPairs) -> Estimate | None:
    """How alike two users are in how many different messages they write, 0 to 100; None without a pair.

    Whoever says the same few things to everybody, or never says "yes" twice, is told by that. Case and punctuation
    apart. The interval is by a jackknife over conversations.
    """
    said = [
        [Counter(" ".join(words(each[side][0])) for each in spoken) for side in (0, 1)] for _, spoken in pairs if spoken
    ]
    if not said:
        return None
    totals = [sum((each[side] for each in said), Counter[str]()) for side in (0, 1)]
    n = totals[0].total()

    def variety(numbers: Sequence[int]) -> float:
        return 100 * 2 * min(numbers) / sum(numbers) if any(numbers) else 100.0

    found = variety([len(total) for total in totals])
    without = [
        variety(
            [
                len(total) - sum(total[message] == count for message, count in own.items())
                for total, own in zip(totals, each, strict=True)
            ]
        )
        for each in said
    ]
    return _jackknifed(found, without, n)


def _jackknifed(found: float, without: Sequence[float], n: int) -> Estimate:
    """A likeness from 0 to 100 with the interval that those without each of the conversations give."""
    many = len(without)
    if many < LEAST_MEAN:
        return Estimate(mean=found, low=None, high=None, n=n, note=f"n={n} of {many} chats")
    half = reach([1.0] * many) * ((many - 1) / many * sum((each - found) ** 2 for each in without)) ** 0.5
    return Estimate(mean=found, low=max(0.0, found - half), high=min(100.0, found + half), n=n)


def dimensions(real: Counts, simulated: Counts) -> dict[str, float]:
    """How alike two users are in each dimension, 0 to 100."""
    return {
        name: 100 * fmean(_alike(feature, real, simulated) for feature in features)
        for name, features in FEATURES.items()
    }


def _counts(spoken: Sequence[Spoken]) -> Counts:
    """Of one conversation."""
    counts: dict[str, float] = {}
    for features in DIMENSIONS.values():
        for name, feature in features.items():
            values = [value for message, turn in spoken if (value := feature.of(message, turn)) is not None]
            if values:
                counts[name] = fmean(values)
    lengths = [len(words(message)) for message, _ in spoken]
    counts[UNEVEN] = pstdev(lengths) / fmean(lengths) if any(lengths) else 0.0
    return counts


def _total(rows: Iterable[Counts]) -> Counts:
    total = Counter[str]()
    for row in rows:
        total.update(row)
    return total


def _without(total: Counts, row: Counts) -> Counts:
    return {name: value - row.get(name, 0.0) for name, value in total.items()}


def _alike(feature: str, real: Counts, simulated: Counts) -> float:
    """The Sørensen-Dice coefficient of two amounts: 1 if they are the same, 0 if one of them is none."""
    more = ONE_MORE if feature in SHARES else 0.0
    one, other = (counts.get(feature, 0.0) + more for counts in (real, simulated))
    return 2 * min(one, other) / (one + other) if one + other else 1.0
