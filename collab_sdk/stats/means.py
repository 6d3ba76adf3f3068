"""Means, and means of differences, with intervals that hold for a few conversations and for skewed values."""

from collections.abc import Sequence
from math import cbrt, fsum, isfinite, nan, sqrt

from collab_sdk.stats.clusters import Clusters, Groups, clusters_of
from collab_sdk.stats.estimate import Estimate
from collab_sdk.stats.quantiles import student
from collab_sdk.stats.shares import estimate_paired_share, estimate_share, score_interval

Pairs = Sequence[Sequence[tuple[float, float]]]
"""By conversation: a value before, or of one bot, and the value after, or of the other, on the same turn."""
LEAST_MEAN = 10
"""Conversations from which the interval of a mean holds, skewed or not: benchmarks/coverage.py."""
NO_SPREAD = 1e-12
"""Of the values' size: what rounding leaves of no spread."""
SKEWED = 1e-6
"""Below that a skewness makes no difference to an interval."""


def estimate_mean(groups: Groups) -> Estimate | None:
    """The mean of all values with its 95 % interval; None if there is no value.

    A group holds the values of one conversation. Values that are all 0 or 1 are a share; those that are all -1, 0 or 1,
    a difference of shares.
    """
    kinds = {value for group in groups for value in group}
    if kinds <= {0, 1}:
        return estimate_share(groups)
    return estimate_paired_share(groups) if kinds <= {-1, 0, 1} else estimate_amount(groups)


def estimate_difference(groups: Pairs) -> Estimate | None:
    """The mean of second less first, of pairs that come in conversations, with its 95 % interval.

    Pairs of yes and no, 1 or 0, are a difference of shares.
    """
    differences = [[after - before for before, after in group] for group in groups]
    if all(value in (0, 1) for group in groups for pair in group for value in pair):
        return estimate_paired_share(differences)
    return estimate_amount(differences)


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
    low, high, note = None, None, _reason(found, values)
    if not note:
        on_grid = min(values) >= 0 and max(values) <= 1 and 2 * len(set(values)) <= len(values)
        low, high = _bounded(found) if on_grid else _skewed(found)
    return Estimate(mean=found.mean, low=low, high=high, n=found.n, note=note)


def _reason(found: Clusters, values: Sequence[float]) -> str:
    """Why there is no interval; empty where there is one."""
    many = len(found.sizes)
    if many < LEAST_MEAN:
        return f"n={found.n}" if many == found.n else f"n={found.n} of {many} chats"
    least = NO_SPREAD * max(map(abs, values))
    if max(values) - min(values) <= least:
        return f"all {found.n} equal"
    return "all chats equal" if found.variance**0.5 <= least else ""


def _skewed(found: Clusters) -> tuple[float, float]:
    many, error, reach = len(found.sizes), found.variance**0.5, student(found.degrees)
    spread = fsum(part**2 for part in found.residuals) / many
    skewness = fsum(part**3 for part in found.residuals) / many / spread**1.5
    up, down = (_without_skewness(sign * reach, skewness, many) for sign in (1, -1))
    return found.mean - error * max(reach, up), found.mean + error * max(reach, -down)


def _without_skewness(t: float, skewness: float, n: int) -> float:
    """The studentised mean that Hall's third transformation takes to `t`."""
    if abs(skewness) < SKEWED:
        return t
    root = sqrt(n)
    return 3 * root / skewness * (cbrt(1 + skewness * (t / root - skewness / (6 * n))) - 1)


def _bounded(found: Clusters) -> tuple[float, float]:
    """A score interval on as many values of 0 and 1 as would have this variance."""
    effective = found.mean * (1 - found.mean) / found.variance
    return score_interval(found.mean, effective, student(found.degrees))
