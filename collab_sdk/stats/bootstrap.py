"""Means with bootstrap intervals, over turns that come in conversations."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import TypeVar

NORMAL = NormalDist()
Group = TypeVar("Group")


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean and its interval; `low` and `high` are None where fewer than two conversations speak for it."""

    mean: float
    low: float | None
    high: float | None
    n: int
    """Values, all conversations together."""

    def __format__(self, spec: str) -> str:
        """`0.52 [0.41, 0.63]`, each number by `spec`."""
        if self.low is None or self.high is None:
            return f"{self.mean:{spec}}"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def estimate_mean(
    groups: Sequence[Sequence[float]], *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Estimate | None:
    """The mean of all values, with its BCa bootstrap interval; None if there is no value.

    A group holds the values of one conversation. Groups are drawn as a whole, since turns of one conversation are alike
    and so say less than as many independent ones. For two bots on the same turns, the groups are of differences: the
    interval is then a paired one. Source: Efron 1987, Better Bootstrap Confidence Intervals.
    """
    sums = [(sum(group), len(group)) for group in groups if group]
    if not sums:
        return None
    mean, n = _ratio(sums), sum(count for _, count in sums)
    if len(sums) < 2:
        return Estimate(mean=mean, low=None, high=None, n=n)
    rng = random.Random(seed)  # noqa: S311 - no secret
    means = sorted(_ratio(rng.choices(sums, k=len(sums))) for _ in range(resamples))
    low, high = (means[_rank(share, resamples)] for share in _shares(mean, means, sums, level))
    return Estimate(mean=mean, low=low, high=high, n=n)


def estimate_statistic(
    groups: Sequence[Group], statistic: Callable[[Sequence[Group]], float | None], *, n: int, resamples: int
) -> Estimate | None:
    """What is no ratio of sums, with its 95 % percentile bootstrap interval; None where `statistic` is.

    It is computed anew for every draw of groups. `n` is the number of values that they hold.
    """
    whole = statistic(groups)
    if whole is None:
        return None
    rng = random.Random(0)  # noqa: S311 - no secret
    draws = (statistic(rng.choices(groups, k=len(groups))) for _ in range(resamples))
    drawn = sorted(value for value in draws if value is not None)
    if len(groups) < 2 or len(drawn) < 2:
        return Estimate(mean=whole, low=None, high=None, n=n)
    tail = round((1 - 0.95) / 2 * (len(drawn) - 1))
    return Estimate(mean=whole, low=drawn[tail], high=drawn[-1 - tail], n=n)


def _ratio(sums: Sequence[tuple[float, int]]) -> float:
    return sum(total for total, _ in sums) / sum(count for _, count in sums)


def _shares(
    mean: float, means: Sequence[float], sums: Sequence[tuple[float, int]], level: float
) -> tuple[float, float]:
    """Where the interval's ends lie among the sorted bootstrap means, corrected for bias and skewness."""
    tails = ((1 - level) / 2, (1 + level) / 2)
    below = sum(value < mean for value in means) + sum(value == mean for value in means) / 2
    if not 0 < below < len(means):
        return tails
    bias = NORMAL.inv_cdf(below / len(means))
    skew = _acceleration(sums)

    def corrected(tail: float) -> float:
        z = bias + NORMAL.inv_cdf(tail)
        return NORMAL.cdf(bias + z / (1 - skew * z)) if skew * z < 1 else tail

    return corrected(tails[0]), corrected(tails[1])


def _acceleration(sums: Sequence[tuple[float, int]]) -> float:
    """From the means without each of the groups in turn."""
    total, count = (sum(column) for column in zip(*sums, strict=True))
    without = [(total - group) / (count - n) for group, n in sums]
    centre = fmean(without)
    spread = sum((centre - value) ** 2 for value in without) ** 1.5
    return sum((centre - value) ** 3 for value in without) / (6 * spread) if spread else 0.0


def _rank(share: float, n: int) -> int:
    return min(max(round(share * (n - 1)), 0), n - 1)
