"""Values that come in conversations: what each conversation adds to a mean, and how many independent values they equal.

Turns of one conversation, and samples of one goal, are alike and so say less than as many independent ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

Groups = Sequence[Sequence[float]]
"""Values by conversation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clusters:
    """Conversations that have a value, and what their mean rests on."""

    n: int
    """Values."""
    mean: float
    sizes: tuple[int, ...]
    residuals: tuple[float, ...]
    """By conversation: the sum of its values less the mean."""
    within: float
    """Sum of squares around the means of the conversations."""

    @property
    def effective(self) -> float:
        """How many conversations of equal size they equal (Kish 1965, Survey Sampling)."""
        return self.n**2 / sum(size**2 for size in self.sizes)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of `variance`."""
        return max(self.effective - 1, 1.0)

    @property
    def variance(self) -> float:
        """Of the mean, by the jackknife over conversations (CR3: MacKinnon and White 1985, Bell and McCaffrey 2002)."""
        many = len(self.sizes)
        parts = ((left / (1 - size / self.n)) ** 2 for left, size in zip(self.residuals, self.sizes, strict=True))
        return fsum(parts) * (many - 1) / many / self.n**2

    @property
    def design_effect(self) -> float:
        """By how much the variance of the mean exceeds that of as many independent values; at least 1.

        From the intra-class correlation of a one-way analysis of variance (Donner and Klar 2000). Where no value
        differs from another nothing can be known of it, and a conversation counts as one value.
        """
        squares, many = sum(size**2 for size in self.sizes), len(self.sizes)
        together = squares / self.n
        between = fsum(left**2 / size for left, size in zip(self.residuals, self.sizes, strict=True))
        if not between + self.within or many == self.n:
            return together
        inside = self.within / (self.n - many)
        outside = between / (many - 1)
        typical = (self.n - together) / (many - 1)
        correlation = (outside - inside) / (outside + (typical - 1) * inside)
        return 1 + min(max(correlation, 0.0), 1.0) * (together - 1)


def clusters_of(groups: Groups) -> Clusters:
    """Of the groups that hold a value, of which there must be one."""
    filled = [group for group in groups if group]
    n = sum(map(len, filled))
    mean = fsum(value for group in filled for value in group) / n
    residuals = [fsum(value - mean for value in group) for group in filled]
    within = fsum(
        (value - mean - left / len(group)) ** 2
        for group, left in zip(filled, residuals, strict=True)
        for value in group
    )
    sizes = tuple(map(len, filled))
    return Clusters(n=n, mean=mean, sizes=sizes, residuals=tuple(residuals), within=within)
