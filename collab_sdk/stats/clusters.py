"""Values that come in conversations: what each conversation adds to a mean, and how many independent values they equal.

Turns of one conversation, and samples of one goal, are alike and so say less than as many independent ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, fsum, tanh

from collab_sdk.stats.quantiles import student

Groups = Sequence[Sequence[float]]
"""Values by conversation."""
Pairs = Sequence[Sequence[tuple[float, float]]]
"""By conversation: two values of the same turn, such as one before and one after."""
PERFECT = 1 - 1e-9
"""Above it a statistic between -1 and 1 has no interval: its transformation is infinite, but for rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clusters:
    """Conversations that have a value, and what their mean rests on."""

    n: int
    """Values."""
    mean: float
    sizes: tuple[int, ...]
    residuals: tuple[float, ...]
    """By conversation: the sum of its values minus the mean."""
    within: float
    """Sum of squares around the means of the conversations."""

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


def reach(sizes: Sequence[float]) -> float:
    """How many standard errors an interval reaches, by Student's t, over conversations of these sizes.

    Its degrees of freedom are those of as many conversations of equal size as they equal (Kish 1965, Survey Sampling).
    """
    effective = fsum(sizes) ** 2 / fsum(size**2 for size in sizes)
    return student(max(effective - 1, 1.0))


def fisher_interval(found: float, without: Sequence[float], sizes: Sequence[float]) -> tuple[float, float]:
    """The interval of a statistic between -1 and 1, by Fisher's transformation and a jackknife over conversations.

    `without` is the transformed statistic without each of the conversations in turn, or what differs from it by a
    constant; `sizes` are theirs.
    """
    many = len(without)
    centre = fsum(without) / many
    error = (fsum((value - centre) ** 2 for value in without) * (many - 1) / many) ** 0.5
    middle, half = atanh(found), reach(sizes) * error
    return tanh(middle - half), tanh(middle + half)


def size_note(n: int, many: int) -> str:
    """How many values there are, and of how many conversations."""
    return f"n={n}" if many == n else f"n={n} of {many} chats"
