"""How often an order by a margin is the one that people give: over all pairs, and in thirds of the margin."""

from collections.abc import Iterator
from dataclasses import dataclass

from collab_sdk.stats.clusters import Groups
from collab_sdk.stats.estimate import Estimate
from collab_sdk.stats.means import estimate_mean

EQUAL = 1e-9
"""A margin below it orders nothing."""
LEAST_THIRDS = 10
"""Pairs from which they are shown in thirds of the margin."""
SIZES = ("small", "mid", "large")


@dataclass(frozen=True, kw_only=True, slots=True)
class Third:
    """The pairs whose margins are of one size."""

    size: str
    largest: float
    """Margin among them."""
    agreed: Estimate


def is_right(margin: float) -> float:
    """1 where the order by the margin is people's, 0 where it is not, and 0.5 where the margin orders nothing.

    The margin is that of what people prefer: below 0 where people prefer the other side.
    """
    return 0.5 if abs(margin) < EQUAL else float(margin > 0)


def estimate_order(margins: Groups) -> Estimate | None:
    """The share of pairs whose order by margin is people's, with its 95 % interval; None if there is no pair.

    A group holds the margins of one conversation, each as `is_right` takes it.
    """
    return estimate_mean([list(map(is_right, group)) for group in margins])


def order_by_size(margins: Groups) -> Iterator[Third]:
    """The same for each third of the pairs by the size of the margin, the small first; none for too few pairs."""
    sizes = sorted(abs(margin) for group in margins for margin in group)
    if len(sizes) < LEAST_THIRDS:
        return
    cuts = [sizes[len(sizes) * third // len(SIZES)] for third in range(1, len(SIZES))]
    for number, size in enumerate(SIZES):
        inside = [[each for each in group if sum(abs(each) >= cut for cut in cuts) == number] for group in margins]
        if (agreed := estimate_order(inside)) is not None:
            yield Third(size=size, largest=max(abs(each) for group in inside for each in group), agreed=agreed)
