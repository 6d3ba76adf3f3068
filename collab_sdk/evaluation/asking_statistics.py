"""Asking or answering: table 2 of the paper, of a bot's first answers to openings known to be ambiguous or clear."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from collab_sdk.stats import Estimate, estimate_combined, estimate_minus, estimate_share

Labelled = tuple[bool, bool]
"""Whether the opening is ambiguous, and whether the bot asks."""
SHARES: Mapping[str, Callable[[Labelled], bool | None]] = {
    "asks when ambiguous": lambda said: said[1] if said[0] else None,
    "answers when clear": lambda said: None if said[0] else not said[1],
    "over-asking": lambda said: None if said[0] else said[1],
}
"""What each is a share of: whether an opening counts, None for openings of the other kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Openings:
    """How often a bot was right, of the openings of both kinds. The numbers that are right need not be whole."""

    ambiguous: int
    asked: float
    clear: int
    answered: float

    @property
    def both(self) -> bool:
        """Whether there are openings of both kinds."""
        return bool(self.ambiguous and self.clear)

    def without(self, other: "Openings") -> "Openings":
        return Openings(
            ambiguous=self.ambiguous - other.ambiguous,
            asked=self.asked - other.asked,
            clear=self.clear - other.clear,
            answered=self.answered - other.answered,
        )


Macro = Callable[[Openings], float]


def macro_accuracy(openings: Openings) -> float:
    """The mean of the accuracies on ambiguous and on clear openings."""
    return (openings.asked / openings.ambiguous + openings.answered / openings.clear) / 2


def macro_f1(openings: Openings) -> float:
    """The mean of the F1 scores of "ask" and of "answer"."""
    wrong = openings.ambiguous - openings.asked + openings.clear - openings.answered
    return sum(2 * right / (2 * right + wrong) for right in (openings.asked, openings.answered) if right) / 2


MACROS: Mapping[str, Macro] = {"macro accuracy": macro_accuracy, "macro F1": macro_f1}
KINDS: Mapping[str, tuple[bool, ...]] = {
    "asks when ambiguous": (True,),
    "answers when clear": (False,),
    **dict.fromkeys(MACROS, (True, False)),
}
"""Which openings each needs, ambiguous or clear; of all these, more is better."""


def count_openings(labelled: Sequence[Labelled]) -> Openings:
    return Openings(
        ambiguous=sum(ambiguous for ambiguous, _ in labelled),
        asked=sum(ambiguous and asks for ambiguous, asks in labelled),
        clear=sum(not ambiguous for ambiguous, _ in labelled),
        answered=sum(not ambiguous and not asks for ambiguous, asks in labelled),
    )


def estimate_macro(groups: Sequence[Sequence[Labelled]], macro: Macro) -> Estimate | None:
    """With the interval that those of the two shares allow; None without openings of both kinds."""
    kinds = ("asks when ambiguous", "answers when clear")
    shares = [estimate_share([_counted(group, SHARES[kind]) for group in groups]) for kind in kinds]
    asks, answers = shares
    if asks is None or answers is None:
        return None

    def value(asked: float, answered: float) -> float:
        right = {"asked": asked * asks.n, "answered": answered * answers.n}
        return macro(Openings(ambiguous=asks.n, clear=answers.n, **right))

    return estimate_combined(value, (asks, answers))


def estimate_macro_difference(
    groups: Sequence[Sequence[Labelled]], less: Sequence[Sequence[Labelled]], macro: Macro
) -> Estimate | None:
    """The difference to `less`, groups of the same conversations in the same order."""
    found = [estimate_macro(side, macro) for side in (groups, less)]
    more, other = found
    if more is None or other is None:
        return None
    without = list(zip(*(_without_each(side) for side in (groups, less)), strict=True))
    return estimate_minus(more, other, [(macro(one), macro(two)) for one, two in without if one.both and two.both])


def _without_each(groups: Sequence[Sequence[Labelled]]) -> list[Openings]:
    """What is left without each of the conversations in turn."""
    whole = count_openings([item for group in groups for item in group])
    return [whole.without(count_openings(group)) for group in groups]


def _counted(group: Sequence[Labelled], kind: Callable[[Labelled], bool | None]) -> list[float]:
    return [float(value) for item in group if (value := kind(item)) is not None]
