"""What simulated means say of observed values: the line through both, and the mean that both give together.

A simulated mean is noisy, and how noisy is known from the futures that it is the mean of; an observed value is a draw.
Turns of one conversation are alike, so conversations are left out as a whole where variances are found (jackknife).
`benchmarks/calibration.py` measures how often the intervals hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt

from collab_sdk.stats.clusters import reach
from collab_sdk.stats.estimate import Estimate

LEAST = 10
"""Conversations from which the intervals hold."""
LOST = 1e-9
"""Of the values' size: what sums of squares lose to rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A turn."""

    simulated: float
    """The mean of what its simulated futures earned."""
    variance: float | None
    """Of that mean, as an estimate: the variance of its futures over their number. None where nothing tells of it."""
    observed: float | None
    """What really followed earned; None where it is not known."""


MeasuredGroups = Sequence[Sequence[Measured]]
"""By conversation."""
Sums = tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Observed values over simulated means: `intercept + slope * mean`."""

    intercept: float
    slope: Estimate
    """Without an interval where the simulated means vary too little for one, or there are too few conversations."""


def fit_line(groups: MeasuredGroups) -> Line | None:
    """The line through the turns that have both, corrected for attenuation.

    None where it has no direction, or where it is not known how noisy the simulated means are.

    Noise in the simulated means flattens a least-squares line, of a perfect simulator too. So their variance is taken
    minus that of the noise (Fuller 1987, Measurement Error Models, section 1.2). The interval is Fieller's (1954) for a
    ratio: the slopes at which covariance less slope times variance does not differ from zero, with a jackknife over
    conversations. Where the variance between turns may be none, such slopes go on for ever, and there is no interval.
    """
    groups = [known for group in groups if (known := [each for each in group if each.observed is not None])]
    turns = [turn for group in groups for turn in group]
    if len(turns) < 2 or any(turn.variance is None for turn in turns):
        return None
    # Far from zero, sums of squares would lose the little that values differ in.
    x = fsum(turn.simulated for turn in turns) / len(turns)
    y = fsum(turn.observed or 0.0 for turn in turns) / len(turns)
    sums = [_sums(group, x, y) for group in groups]
    covariance, variance = _moments(_total(sums))
    if variance <= 0:
        return None
    slope = covariance / variance
    low, high, note = None, None, f"n={len(turns)} of {len(groups)} chats"
    if len(groups) >= LEAST:
        low, high, note = _fieller(sums, covariance, variance)
    return Line(intercept=y - slope * x, slope=Estimate(mean=slope, low=low, high=high, n=len(turns), note=note))


def _sums(group: Sequence[Measured], x: float, y: float) -> Sums:
    """Number, sums, squares and products of both, and the variances of the simulated."""
    rows = [(turn.simulated - x, (turn.observed or 0.0) - y, turn.variance or 0.0) for turn in group]
    return _total([(1.0, a, b, a * a, a * b, variance) for a, b, variance in rows])


def _total(sums: Sequence[Sums]) -> Sums:
    return tuple(map(fsum, zip(*sums, strict=True)))


def _moments(total: Sums) -> tuple[float, float]:
    """The covariance of simulated and observed, and the variance of what the simulated means are means of."""
    n, x, y, xx, xy, noise = total
    return (xy - x * y / n) / (n - 1), (xx - x * x / n) / (n - 1) - noise / n


def _fieller(sums: Sequence[Sums], covariance: float, variance: float) -> tuple[float | None, float | None, str]:
    total, many = _total(sums), len(sums)
    without = [_moments(tuple(a - b for a, b in zip(total, each, strict=True))) for each in sums]
    share = (many - 1) / many
    aa = share * fsum((a - covariance) ** 2 for a, _ in without)
    bb = share * fsum((b - variance) ** 2 for _, b in without)
    ab = share * fsum((a - covariance) * (b - variance) for a, b in without)
    slope = covariance / variance
    if aa - 2 * slope * ab + slope**2 * bb <= (LOST * variance) ** 2:
        return None, None, "all on one line"
    far = reach([each[0] for each in sums]) ** 2
    square, half, rest = variance**2 - far * bb, covariance * variance - far * ab, covariance**2 - far * aa
    root = half**2 - square * rest
    if square <= 0 or root < 0:
        return None, None, "the turns differ too little in MR"
    return (half - sqrt(root)) / square, (half + sqrt(root)) / square, ""


def estimate_together(groups: MeasuredGroups) -> Estimate | None:
    """The mean of the observed values over all turns, with and without one; None if none is observed.

    Prediction-powered: the mean of those observed, moved by how the simulated means of all turns differ from theirs, as
    far as observed follow simulated (Angelopoulos, Duchi and Zrnic 2023, PPI++). Right on average whatever the
    simulator is worth, as long as it is chance which turns have an observed value. The interval is by the jackknife
    over conversations.
    """
    filled = [group for group in groups if group]
    known = sum(any(turn.observed is not None for turn in group) for group in filled)
    if not known:
        return None
    n = sum(map(len, filled))
    # Far from zero, sums of squares would lose the little that values differ in.
    x = fsum(turn.simulated for group in filled for turn in group) / n
    sums = [_all_sums(group, x) for group in filled]
    total = _total(sums)
    mean = _powered(total)
    if known < LEAST:
        return Estimate(mean=mean, low=None, high=None, n=n, note=f"n={int(total[2])} of {known} chats")
    without = [_powered(tuple(a - b for a, b in zip(total, each, strict=True))) for each in sums]
    many = len(sums)
    error = sqrt((many - 1) / many * fsum((each - mean) ** 2 for each in without))
    if error <= LOST * max(abs(mean), 1.0):
        return Estimate(mean=mean, low=None, high=None, n=n, note=f"all {n} equal", is_constant=True)
    half = reach([each[2] for each in sums]) * error
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=n)


def _all_sums(group: Sequence[Measured], x: float) -> Sums:
    """Of all turns: number, simulated minus x; of those observed: number, both, squares and products."""
    rows = [(turn.simulated - x, turn.observed) for turn in group]
    both = [(f, y) for f, y in rows if y is not None]
    sums = (fsum(column) for column in zip(*((1.0, f, y, f * f, f * y) for f, y in both), strict=True)) if both else ()
    return (float(len(rows)), fsum(f for f, _ in rows), *(sums if both else (0.0,) * 5))


def _powered(total: Sums) -> float:
    every, simulated, n, f, y, ff, fy = total
    spread = ff - f * f / n
    weight = (fy - f * y / n) / spread if spread > LOST * max(ff, 1.0) else 0.0
    return y / n + weight * (simulated / every - f / n)
