"""One figure for how human a simulated user is, from 0 to 100, and what it is made of."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from collab_sdk.fidelity.behaviour import SpokenPairs, estimate_behaviour, estimate_variety
from collab_sdk.fidelity.checker import CheckedConversation
from collab_sdk.fidelity.conditional import Scores, compared_fit
from collab_sdk.fidelity.telling_apart import two_sample_test
from collab_sdk.fidelity.validity import real_fault
from collab_sdk.stats import Estimate, estimate_combined, estimate_mean
from collab_sdk.stats.quantiles import Z

HALVES = 4
"""Ways to divide the real users into two halves, of which one is compared with the other."""
WHOLE = "index"
MEANINGS: Mapping[str, str] = {
    WHOLE: "mean of the parts; real: their halves",
    "behaviour": "alike in style, information, questions",
    "variety": "alike in number of different messages",
    "looks real": "100: told apart, AUC is 0.5 or less",
    "fits": "100: fits, AUC is 0.5",
    "valid": "valid turns",
}
"""The index and its parts, each from 0 to 100, with what is said of them in a table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """The mean of its parts; 100 is a user whom nothing here tells from a real one."""

    whole: Estimate
    parts: Mapping[str, Estimate]
    """By name, in the order of MEANINGS."""


def compared_turns(checked: Iterable[CheckedConversation]) -> SpokenPairs:
    """What both wrote at the same turn."""
    return [
        (
            one.conversation.id,
            [((written[0], turn), (written[1], turn)) for turn in one.turns if (written := turn.written) is not None],
        )
        for one in checked
    ]


def index_of(spoken: SpokenPairs, *, looks: Estimate, fits: Estimate, valid: Estimate) -> Index | None:
    """Of what both wrote, of the AUC of both tests, and of the share of valid turns; None without a pair.

    The interval takes the parts to err independently: benchmarks/conditional.py measures whether it holds all the same.
    """
    behaviour, variety = estimate_behaviour(spoken), estimate_variety(spoken)
    if behaviour is None or variety is None:
        return None
    likenesses = (behaviour, variety, _likeness(looks, below=False), _likeness(fits, below=True), _percent(valid))
    whole = replace(estimate_combined(lambda *means: fmean(means), likenesses), n=behaviour.n)
    return Index(whole=whole, parts=dict(zip(list(MEANINGS)[1:], likenesses, strict=True)))


def _likeness(auc: Estimate, *, below: bool) -> Estimate:
    """100 for an AUC of 0.5, 0 for one of 1, and for one of 0 where an AUC `below` 0.5 is a difference and no chance.

    Chance alone moves an AUC away from 0.5; so much is taken off the distance (off its square, the variance).
    """
    if auc.low is None or auc.high is None:
        return replace(auc, mean=100 * (1 - 2 * _distance(auc.mean, below)))
    error = (auc.high - auc.low) / (2 * Z)
    excess = max(0.0, _distance(auc.mean, below) ** 2 - error**2) ** 0.5
    ends = [_distance(end, below) for end in (auc.low, auc.high)]
    nearest = 0.0 if auc.low <= 0.5 <= auc.high else min(ends)
    return replace(auc, mean=100 * (1 - 2 * excess), low=100 * (1 - 2 * max(ends)), high=100 * (1 - 2 * nearest))


def _distance(auc: float, below: bool) -> float:
    return abs(auc - 0.5) if below else max(0.0, auc - 0.5)


def _percent(share: Estimate) -> Estimate:
    low, high = (None if end is None else 100 * end for end in (share.low, share.high))
    return replace(share, mean=100 * share.mean, low=low, high=high, count=None)


def ceiling_of(checked: Sequence[CheckedConversation], fits: Scores) -> Index | None:
    """The index of real users: one half of them is taken for the simulated users of the other.

    `fits` says how well the real replies fit, by conversation. The figures are means over several ways to divide the
    users, and so are the ends of the intervals: as wide as those of one division, since the divisions share their
    users. Halves are half as many: real users come out a little lower than they would in a comparison of all. None
    with too few.
    """
    real = {one.conversation.id: [turn for turn in one.turns if turn.written is not None] for one in checked}
    turns = {name: written for name, written in real.items() if written}
    valid = estimate_mean([[float(real_fault(turn) is None) for turn in written] for written in turns.values()])
    found: list[Index] = []
    for seed in range(HALVES):
        names = sorted(turns)
        random.Random(seed).shuffle(names)  # noqa: S311 - no secret
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        spoken: SpokenPairs = [
            (one, [((mine.real, mine), (its.real, its)) for mine, its in zip(turns[one], turns[other], strict=False)])
            for one, other in zip(*halves, strict=False)
        ]
        looks = two_sample_test([(name, [(mine[0], its[0]) for mine, its in pairs]) for name, pairs in spoken])
        if looks is None or valid is None:
            return None
        fit = compared_fit(*({name: fits[name] for name in half} for half in halves))
        if (index := index_of(spoken, looks=looks[0], fits=fit, valid=valid)) is None:
            return None
        found.append(index)
    parts = {name: _mean_of([each.parts[name] for each in found]) for name in found[0].parts}
    return Index(whole=_mean_of([each.whole for each in found]), parts=parts)


def _mean_of(divisions: Sequence[Estimate]) -> Estimate:
    """Of one figure, by several divisions of the same users."""
    return replace(
        divisions[0],
        mean=fmean(each.mean for each in divisions),
        low=_mean_end([each.low for each in divisions]),
        high=_mean_end([each.high for each in divisions]),
        n=round(fmean(each.n for each in divisions)),
    )


def _mean_end(ends: Sequence[float | None]) -> float | None:
    known = [end for end in ends if end is not None]
    return fmean(known) if len(known) == len(ends) else None


def minus_ceiling(found: Estimate, ceiling: Estimate) -> Estimate:
    """How far a figure is below what real users reach, with the interval of both as of independent ones."""
    below = replace(
        ceiling,
        mean=-ceiling.mean,
        low=None if ceiling.high is None else -ceiling.high,
        high=None if ceiling.low is None else -ceiling.low,
    )
    return replace(estimate_combined(lambda one, other: one + other, (found, below)), n=ceiling.n)
