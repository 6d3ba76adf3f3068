"""Pearson's correlation of two values a turn, over turns that come in conversations."""

from collections.abc import Sequence
from math import atanh, fsum, inf, isfinite

from collab_sdk.stats.clusters import PERFECT, Pairs, fisher_interval, size_note
from collab_sdk.stats.estimate import Estimate

LEAST = 3
"""Turns from which there is a correlation."""
LEAST_CORRELATION = 8
"""Conversations from which it has an interval."""


def estimate_correlation(groups: Pairs) -> Estimate | None:
    """With its 95 % interval; None where one side does not vary.

    Fisher's transformation, with a jackknife over conversations for its variance and Student's t.
    """
    filled = [group for group in groups if group]
    values = [pair for group in filled for pair in group]
    if len(values) < LEAST:
        return None
    scaled = _scaled(filled, values)
    if scaled is None:
        return None
    n, many = len(values), len(filled)
    found = max(-1.0, min(1.0, fsum(x * y for group in scaled for x, y in group) / n))
    if many < LEAST_CORRELATION or abs(found) > PERFECT:
        note = f"all {n} on a line" if abs(found) > PERFECT else size_note(n, many)
        return Estimate(mean=found, low=None, high=None, n=n, note=note)
    sums = [_sums(group) for group in scaled]
    whole = [fsum(column) for column in zip(*sums, strict=True)]
    without = [_transformed([all_ - part for all_, part in zip(whole, each, strict=True)]) for each in sums]
    if not all(map(isfinite, without)):
        return Estimate(mean=found, low=None, high=None, n=n, note=f"on a line but for one of {many} chats")
    low, high = fisher_interval(found, without, list(map(len, filled)))
    return Estimate(mean=found, low=low, high=high, n=n)


def _scaled(groups: Pairs, values: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]] | None:
    """Both sides with mean 0 and variance 1; None where one does not vary."""
    means = [fsum(column) / len(values) for column in zip(*values, strict=True)]
    spreads = [
        (fsum((value - mean) ** 2 for value in column) / len(values)) ** 0.5
        for column, mean in zip(zip(*values, strict=True), means, strict=True)
    ]
    # What is left of no spread at all, after rounding.
    if any(spread <= 1e-9 for spread in spreads):
        return None
    return [[((x - means[0]) / spreads[0], (y - means[1]) / spreads[1]) for x, y in group] for group in groups]


def _sums(pairs: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """n, x, y, xx, yy, xy."""
    rows = [(1.0, x, y, x * x, y * y, x * y) for x, y in pairs]
    return tuple(map(fsum, zip(*rows, strict=True)))


def _transformed(sums: Sequence[float]) -> float:
    """Fisher's transformation of the correlation; infinite where it is perfect, or where one side does not vary."""
    n, x, y, xx, yy, xy = sums
    spread = (n * xx - x * x) * (n * yy - y * y)
    found = (n * xy - x * y) / spread**0.5 if spread > 1e-18 * (n * n) else 1.0
    return atanh(found) if abs(found) < PERFECT else inf
