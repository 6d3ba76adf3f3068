"""Quantiles of distributions that Python's `statistics` has not, in a few lines instead of a dependency on scipy."""

from collections.abc import Callable
from functools import lru_cache
from math import exp, inf, lgamma, log
from statistics import NormalDist

LEVEL = 0.95
"""Of every interval."""
NORMAL = NormalDist()
Z = NORMAL.inv_cdf((1 + LEVEL) / 2)
STEPS = 200
CLOSE = 1e-10
TINY = 1e-300


@lru_cache(maxsize=4096)
def student(degrees: float) -> float:
    """The upper end of the central 95 % of Student's t, for degrees of freedom that need not be whole."""
    high = 2.0
    while student_beyond(high, degrees) > 1 - LEVEL:
        high *= 2
    return bisect(lambda t: 1 - LEVEL - student_beyond(t, degrees), 0.0, high)


def student_beyond(t: float, degrees: float) -> float:
    """How probable a value of Student's t is that is farther from zero than `t`, on either side: the p of a t test."""
    return _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))


@lru_cache(maxsize=4096)
def gamma(shape: float, share: float) -> float:
    """The quantile of the gamma distribution with scale 1, for small shapes."""
    high = shape + 1.0
    while _incomplete_gamma(shape, high) < share:
        high *= 2
    return bisect(lambda x: _incomplete_gamma(shape, x) - share, 0.0, high)


def bisect(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that rises from `low` to `high` is zero."""
    for _ in range(STEPS):
        middle = (low + high) / 2
        if high - low <= CLOSE * max(abs(low), abs(high)):
            break
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def _incomplete_gamma(shape: float, x: float) -> float:
    """Regularised, by its series."""
    if x <= 0:
        return 0.0
    term = total = exp(shape * log(x) - x - lgamma(shape + 1))
    place = shape
    while term > CLOSE * total:
        place += 1
        term *= x / place
        total += term
    return total


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised, by Lentz's continued fraction (Press et al., Numerical Recipes, section 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    fraction, change, m = d, inf, 0
    while abs(change - 1) > CLOSE and m < STEPS:
        m += 1
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _nonzero(1 + numerator * d)
            c = _nonzero(1 + numerator / c)
            change = c * d
            fraction *= change
    return front * fraction


def _nonzero(value: float) -> float:
    return value if abs(value) > TINY else TINY
