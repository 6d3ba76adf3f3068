"""How far a mean could be off because of values that are missing."""

from collections.abc import Sequence
from math import fsum


def bounds(values: Sequence[float | None], *, low: float, high: float) -> tuple[float, float]:
    """The lowest and the highest mean that all values together can have, where a missing one (None) lies in [low, high].

    Nothing is assumed about why they are missing; a difference of two means lies between the lower bound of the one
    minus the upper bound of the other, and the reverse. Source: Manski 1990, Nonparametric Bounds on Treatment Effects.
    Raises ValueError without values, and where low is above high.
    """
    if not values or low > high:
        raise ValueError(f"no bounds of {len(values)} values within [{low}, {high}]")
    known = fsum(value for value in values if value is not None)
    missing = sum(value is None for value in values)
    return (known + missing * low) / len(values), (known + missing * high) / len(values)
