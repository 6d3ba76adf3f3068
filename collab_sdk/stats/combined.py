"""Statistics made of several estimates, from their intervals: MOVER (Zou and Donner, Statistics in Medicine 2008)."""

from collections.abc import Callable, Sequence
from math import fsum, sqrt

from collab_sdk.stats.estimate import Estimate
from collab_sdk.stats.quantiles import Z


def estimate_combined(value: Callable[..., float], parts: Sequence[Estimate]) -> Estimate:
    """A function that rises with each of several independent shares."""
    means = [part.mean for part in parts]
    found, n = value(*means), sum(part.n for part in parts)
    if any(part.low is None or part.high is None for part in parts):
        return Estimate(mean=found, low=None, high=None, n=n, note=" + ".join(f"{part:.2f}" for part in parts))

    def reach(ends: Sequence[float | None]) -> float:
        changed = ([*means[:place], end, *means[place + 1 :]] for place, end in enumerate(ends))
        return sqrt(fsum((value(*each) - found) ** 2 for each in changed))

    low, high = reach([part.low for part in parts]), reach([part.high for part in parts])
    return Estimate(mean=found, low=found - low, high=found + high, n=n)


def estimate_minus(more: Estimate, less: Estimate, without: Sequence[tuple[float, float]]) -> Estimate:
    """The difference of a statistic between two bots on the same conversations.

    `without` has both bots' values without each of the conversations in turn, which tell how far the two go together.
    So much agreement is not believed that a difference would have no width: with none of n conversations differing, it
    keeps that of Tango's interval.
    """
    found, n = more.mean - less.mean, more.n + less.n
    if more.low is None or more.high is None or less.low is None or less.high is None:
        return Estimate(mean=found, low=None, high=None, n=n, note=f"n={more.n} and {less.n}")
    together = min(_correlation(without), max(0.0, 1 - 2 * Z * Z / len(without)))

    def reach(one: float, other: float) -> float:
        return sqrt(max(one**2 - 2 * together * one * other + other**2, 0.0))

    low = reach(more.mean - more.low, less.high - less.mean)
    high = reach(more.high - more.mean, less.mean - less.low)
    return Estimate(mean=found, low=found - low, high=found + high, n=n)


def _correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Zero where one side does not vary."""
    means = [fsum(column) / len(pairs) for column in zip(*pairs, strict=True)]
    off = [(x - means[0], y - means[1]) for x, y in pairs]
    spread = fsum(x * x for x, _ in off) * fsum(y * y for _, y in off)
    return fsum(x * y for x, y in off) / sqrt(spread) if spread else 0.0
