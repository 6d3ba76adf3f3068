"""Pearson's correlation of two values a turn, over turns that come in conversations."""

from collections.abc import Iterable, Sequence

from collab_sdk.stats.bootstrap import Estimate, estimate_statistic

Sums = tuple[float, ...]
"""n, x, y, xx, yy, xy."""
LEAST = 3
RESAMPLES = 1000


def estimate_correlation(groups: Sequence[Sequence[tuple[float, float]]]) -> Estimate | None:
    """With its 95 % bootstrap interval, conversations drawn as a whole; None where one side does not vary."""
    values = [pair for group in groups for pair in group]
    if len(values) < LEAST:
        return None
    # Far from zero, sums of squares would lose the little that values differ in.
    means = [sum(column) / len(values) for column in zip(*values, strict=True)]
    sums = [_sums((x - means[0], y - means[1]) for x, y in group) for group in groups if group]
    return estimate_statistic(sums, _correlation, n=len(values), resamples=RESAMPLES)


def _sums(pairs: Iterable[tuple[float, float]]) -> Sums:
    rows = [(1.0, x, y, x * x, y * y, x * y) for x, y in pairs]
    return tuple(map(sum, zip(*rows, strict=True)))


def _correlation(sums: Sequence[Sums]) -> float | None:
    n, x, y, xx, yy, xy = map(sum, zip(*sums, strict=True))
    spread = (n * xx - x * x) * (n * yy - y * y)
    # What is left of no spread at all, after rounding.
    return (n * xy - x * y) / spread**0.5 if spread > 1e-18 * (n * n) else None
