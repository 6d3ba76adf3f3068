"""What is held out: which of it chooses the checkpoint, which of it says how good that one is, and what it says."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean
from typing import Any, TypeVar

from collab_sdk.stats import Estimate, estimate_amount, estimate_difference, estimate_share
from collab_trl.log_probabilities import log_probabilities
from collab_trl.preference.tokens import Tokens

PARTED = 48
"""Conversations of which a half may choose and the other half report; fewer would tell too little to lose one."""
Value = TypeVar("Value")
Values = Mapping[str, Sequence[float]]
"""Of each example, by name."""
Sides = tuple[float, float]
"""Log-probabilities, in nats, of a chosen and a rejected reply."""
LOSS = "watched_loss"
"""By which checkpoints are compared, for every method: low where the model tells good from bad."""
REWARD, IS_GOOD = "reward", "is good"
"""What is known of single replies, some good and some bad."""
Estimates = dict[str, Estimate]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistic:
    """A statistic of each example, before the training and after it."""

    name: str
    before: Sequence[float]
    after: Sequence[float]
    is_share: bool = False


def in_two(held_out: Sequence[Tokens], *, chooses: bool) -> tuple[list[Tokens], list[Tokens]]:
    """The examples that a training is watched by, and those that report on what it gave.

    Where the former choose the checkpoint, none is among the latter: the best of ten looks is good by chance, too. They
    are parted by how their conversations begin, the same ones in every run. Where there are too few for both, or one
    side would lack good or bad replies, none chooses: all are watched, and all report.
    """
    known = sorted({tokens.example.known_by for tokens in held_out})
    reporting = set(known[::2])
    sides: tuple[list[Tokens], list[Tokens]] = ([], [])
    for tokens in held_out:
        sides[tokens.example.known_by in reporting].append(tokens)
    enough = len(known) >= PARTED and _kinds(sides[0]) == _kinds(sides[1])
    return sides if chooses and enough else (list(held_out), list(held_out))


def _kinds(side: Iterable[Tokens]) -> set[tuple[bool, bool]]:
    return {(bool(tokens.chosen), bool(tokens.rejected)) for tokens in side}


def means(values: Values) -> dict[str, float]:
    """Over all examples, by the trainers' names; of single replies, those of the good and of the bad, and their gap."""
    if REWARD not in values:
        return {name: fmean(of_each) for name, of_each in values.items()}
    sides = {"rewards/chosen": _of(values, REWARD, good=True), "rewards/rejected": _of(values, REWARD, good=False)}
    found = {name: fmean(rewards) for name, rewards in sides.items() if rewards} | {LOSS: fmean(values[LOSS])}
    if all(sides.values()):
        found["rewards/margins"] = found["rewards/chosen"] - found["rewards/rejected"]
    return found


def log_probabilities_of(model: Any, examples: Sequence[Tokens]) -> list[Sides]:
    """Of each example's chosen and rejected reply; NaN for one that it does not have."""
    rows = [(tokens.prompt, reply) for tokens in examples for reply in (tokens.chosen, tokens.rejected) if reply]
    found = iter(log_probabilities(model, rows))
    return [(next(found) if tokens.chosen else nan, next(found) if tokens.rejected else nan) for tokens in examples]


def statistics_of(
    method: str, examples: Sequence[Tokens], before: Sequence[Sides], after: Sequence[Sides]
) -> list[Statistic]:
    """What the log-probabilities of a method's examples say; nothing for KTO where all are good, or all bad."""
    if method == "dpo":
        return _of_pairs(before, after)
    if method == "sft":
        per_token = [[-value for value in _per_token(examples, side)] for side in (before, after)]
        return [Statistic(name="loss", before=per_token[0], after=per_token[1])]
    gained = [after_ - before_ for after_, before_ in zip(map(_only, after), map(_only, before), strict=True)]
    gaps = _gaps(gained, [bool(tokens.chosen) for tokens in examples])
    return [Statistic(name="margin", before=[0.0] * len(gaps), after=gaps)] if gaps else []


def ordinary_statistic(examples: Sequence[Tokens], before: Sequence[Sides], after: Sequence[Sides]) -> Statistic:
    """How likely replies still are, in nats a token, that have nothing to do with what was trained."""
    return Statistic(name="ordinary_logp", before=_per_token(examples, before), after=_per_token(examples, after))


def end_statistic(before: Sequence[Sides], after: Sequence[Sides]) -> Statistic:
    """How likely users are to leave where they did, in nats."""
    return Statistic(name="end_logp", before=[chosen for chosen, _ in before], after=[chosen for chosen, _ in after])


def _per_token(examples: Sequence[Tokens], sides: Sequence[Sides]) -> list[float]:
    return [chosen / sum(tokens.chosen.learnt) for tokens, (chosen, _) in zip(examples, sides, strict=True)]


def _of_pairs(before: Sequence[Sides], after: Sequence[Sides]) -> list[Statistic]:
    margins = [[chosen - rejected for chosen, rejected in side] for side in (before, after)]
    shares = [[float(margin > 0) for margin in side] for side in margins]
    chosen, rejected = ([[sides[place] for sides in side] for side in (before, after)] for place in (0, 1))
    return [
        Statistic(name="margin", before=margins[0], after=margins[1]),
        Statistic(name="accuracy", before=shares[0], after=shares[1], is_share=True),
        Statistic(name="chosen_logp", before=chosen[0], after=chosen[1]),
        Statistic(name="rejected_logp", before=rejected[0], after=rejected[1]),
    ]


def _only(sides: Sides) -> float:
    chosen, rejected = sides
    return rejected if isnan(chosen) else chosen


def estimates(found: Iterable[Statistic], conversations: Sequence[Hashable]) -> tuple[Estimates, Estimates, Estimates]:
    """Before, after and the difference, with intervals over conversations, given that of each example."""
    before, after, difference = {}, {}, {}
    for statistic in found:
        estimate = estimate_share if statistic.is_share else estimate_amount
        before[statistic.name] = estimate(_grouped(statistic.before, conversations))
        after[statistic.name] = estimate(_grouped(statistic.after, conversations))
        pairs = list(zip(statistic.before, statistic.after, strict=True))
        difference[statistic.name] = estimate_difference(_grouped(pairs, conversations))
    return _known(before), _known(after), _known(difference)


def _known(named: Mapping[str, Estimate | None]) -> Estimates:
    return {name: each for name, each in named.items() if each is not None}


def _gaps(gained: Sequence[float], is_good: Sequence[bool]) -> list[float]:
    """What each reply says of the gap between the means of good and bad ones: their mean is that gap.

    Their spread is its own (linearised, as in Woodruff 1971), so that it gets an interval as any mean does.
    """
    both = list(zip(gained, is_good, strict=True))
    good, bad = [value for value, is_one in both if is_one], [value for value, is_one in both if not is_one]
    if not good or not bad:
        return []
    means_of, n = (fmean(good), fmean(bad)), len(both)
    gap = means_of[0] - means_of[1]
    return [
        gap + (n / len(good) * (value - means_of[0]) if is_one else -n / len(bad) * (value - means_of[1]))
        for value, is_one in both
    ]


def _of(values: Values, name: str, *, good: bool) -> list[float]:
    return [value for value, is_good in zip(values[name], values[IS_GOOD], strict=True) if bool(is_good) is good]


def _grouped(values: Sequence[Value], conversations: Sequence[Hashable]) -> list[list[Value]]:
    groups: dict[Hashable, list[Value]] = {}
    for value, conversation in zip(values, conversations, strict=True):
        groups.setdefault(conversation, []).append(value)
    return list(groups.values())
