"""How far a mean could be off because of values that are missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, inf
from typing import Self


@dataclass(kw_only=True, slots=True)
class MissingTally:
    """Gathers groups of values to bound the mean of the groups' means, in the memory of a few numbers.

    Nothing is assumed about why values are missing (None). Source: Manski 1990, Nonparametric Bounds on Treatment
    Effects.
    """

    groups: int = 0
    missing: int = 0
    """Values that are missing."""
    low: float = inf
    high: float = -inf
    """The lowest and the highest value that is known."""
    _known: float = 0.0
    """The groups' means, a missing value as zero."""
    _share: float = 0.0
    """The groups' shares of missing values."""

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Self:
        """Of one group."""
        tally = cls()
        tally.add(values)
        return tally

    def add(self, values: Sequence[float | None]) -> None:
        """A group; one without values has one, which is missing."""
        values = values or [None]
        known = [value for value in values if value is not None]
        self.groups += 1
        self.missing += len(values) - len(known)
        self.low, self.high = min([self.low, *known]), max([self.high, *known])
        self._known += fsum(known) / len(values)
        self._share += 1 - len(known) / len(values)

    def bounds(self, *others: "MissingTally") -> tuple[float, float] | None:
        """The bounds, for missing values in the range of those known, here or in `others`.

        None where fewer than two different values are known: they tell of no range.
        """
        low = min(each.low for each in (self, *others))
        high = max(each.high for each in (self, *others))
        if low >= high or not self.groups:
            return None
        return (self._known + self._share * low) / self.groups, (self._known + self._share * high) / self.groups


def difference_bounds(mine: tuple[float, float], less: tuple[float, float]) -> tuple[float, float]:
    """Of one mean minus another, whichever way what is missing of both would have turned out."""
    return mine[0] - less[1], mine[1] - less[0]
