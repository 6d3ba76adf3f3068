"""Means, and means of differences, with intervals that hold for a few conversations and for skewed values."""

from collections.abc import Sequence
from dataclasses import replace
from math import cbrt, fsum, isfinite, nan, sqrt

from collab_sdk.stats.clusters import Clusters, Groups, Pairs, clusters_of, reach, size_note
from collab_sdk.stats.estimate import Estimate
from collab_sdk.stats.shares import estimate_paired_share, estimate_share, score_interval

LEAST_MEAN = 8
"""Conversations from which the interval of a mean holds, skewed or not: benchmarks/coverage.py."""
LEAST_GRID = 15
"""The same of a few values on a grid between 0 and 1."""
NO_SPREAD = 1e-12
"""Of the values' size: what rounding leaves of no spread."""
SKEWED = 1e-6
"""Below that a skewness makes no difference to an interval."""


def estimate_mean(groups: Groups) -> Estimate | None:
    """The mean of all values with its 95 % interval; None if there is no value.

    A group holds the values of one conversation. Values that are all 0 or 1 are a share, and few of them are counted.
    """
    return estimate_share(groups) if _is_yes_or_no(groups) else estimate_amount(groups)


def estimate_difference(groups: Pairs) -> Estimate | None:
    """The mean of second minus first, of pairs that come in conversations, with its 95 % interval.

    Pairs of yes and no, 1 or 0, are a difference of shares, and few of them are counted.
    """
    if all(map(_is_yes_or_no, groups)):
        return estimate_paired_share(_differences(groups))
    return estimate_amount_difference(groups)


def estimate_score(groups: Groups) -> Estimate | None:
    """The mean of rewards, or of other values that may happen to be all 0 or 1, with its 95 % interval.

    They then have the interval of a share, which holds for them, but few of them are not counted: rewards of 1, 1 and 0
    are 0.67, and no "2 of 3" beside another bot's 0.41.
    """
    return _uncounted(estimate_mean(groups), groups) if _is_yes_or_no(groups) else estimate_amount(groups)


def estimate_score_difference(groups: Pairs) -> Estimate | None:
    """The mean of second minus first, of pairs of such values, with its 95 % interval."""
    found = estimate_difference(groups)
    return _uncounted(found, groups) if all(map(_is_yes_or_no, groups)) else found


def _is_yes_or_no(groups: Groups) -> bool:
    return all(value in (0, 1) for group in groups for value in group)


def _uncounted(found: Estimate | None, groups: Sequence[Sequence[object]]) -> Estimate | None:
    """The same, written as a mean."""
    if found is None:
        return None
    note = size_note(found.n, sum(map(bool, groups))) if found.low is None else ""
    return replace(found, count=None, note=note)


def estimate_amount_difference(groups: Pairs) -> Estimate | None:
    """The mean of second minus first, of pairs of counts, with its 95 % interval."""
    return estimate_amount(_differences(groups))


def _differences(groups: Pairs) -> list[list[float]]:
    return [[after - before for before, after in group] for group in groups]


def estimate_amount(groups: Groups) -> Estimate | None:
    """The mean of values that are no yes or no, such as counts, with its 95 % interval; None if there is no value.

    On each side the wider one of Student's interval and Hall's, which corrects for skewness (1992, On the Removal of
    Skewness by Transformation), with a variance and degrees of freedom for conversations of unequal length. Hall's is
    as good as a bootstrap-t, and costs one pass. A few values on a grid between 0 and 1, such as a share of
    requirements, get a score interval.
    """
    values = [value for group in groups for value in group]
    if not values:
        return None
    try:
        return _estimate_finite(groups, values)
    except (OverflowError, ValueError):  # infinite, or their squares are
        return Estimate(mean=nan, low=None, high=None, n=len(values), note=f"not finite, n={len(values)}")


def _estimate_finite(groups: Groups, values: Sequence[float]) -> Estimate:
    found = clusters_of(groups)
    if not isfinite(found.mean):
        raise OverflowError
    on_grid = min(values) >= 0 and max(values) <= 1 and 2 * len(set(values)) <= len(values)
    many, mean, n = len(found.sizes), found.mean, found.n
    if many < (LEAST_GRID if on_grid else LEAST_MEAN):
        return Estimate(mean=mean, low=None, high=None, n=n, note=size_note(n, many))
    if note := _all_equal(found, values):
        return Estimate(mean=mean, low=None, high=None, n=n, note=note, is_constant=True)
    low, high = _bounded(found) if on_grid else _skewed(found)
    return Estimate(mean=mean, low=low, high=high, n=n)


def _all_equal(found: Clusters, values: Sequence[float]) -> str:
    """What is equal, where there is no spread for an interval; empty where there is some."""
    rounding = NO_SPREAD * max(map(abs, values))
    if max(values) - min(values) <= rounding:
        return f"all {found.n} equal"
    return "all chats equal" if found.variance**0.5 <= rounding else ""


def _skewed(found: Clusters) -> tuple[float, float]:
    many, error, errors = len(found.sizes), found.variance**0.5, reach(found.sizes)
    spread = fsum(part**2 for part in found.residuals) / many
    skewness = fsum(part**3 for part in found.residuals) / many / spread**1.5
    up, down = (_without_skewness(sign * errors, skewness, many) for sign in (1, -1))
    return found.mean - error * max(errors, up), found.mean + error * max(errors, -down)


def _without_skewness(t: float, skewness: float, n: int) -> float:
    """The studentised mean that Hall's third transformation takes to `t`."""
    if abs(skewness) < SKEWED:
        return t
    root = sqrt(n)
    return 3 * root / skewness * (cbrt(1 + skewness * (t / root - skewness / (6 * n))) - 1)


def _bounded(found: Clusters) -> tuple[float, float]:
    """A score interval on as many values of 0 and 1 as would have this variance."""
    effective = found.mean * (1 - found.mean) / found.variance
    return score_interval(found.mean, effective, reach(found.sizes))
