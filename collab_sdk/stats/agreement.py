"""Cohen's kappa, with an interval for verdicts that come in conversations."""

from collections import Counter
from collections.abc import Hashable, Sequence

from collab_sdk.stats.clusters import PERFECT, fisher_interval
from collab_sdk.stats.estimate import Estimate

Verdicts = Sequence[tuple[Hashable, Hashable]]
"""What two gave for the same thing."""
LEAST_KAPPA = 50
"""Conversations from which a kappa has an interval."""
LEAST_RARE = 5
"""How often both have to give something else than what they give most often."""


def estimate_kappa(groups: Sequence[Verdicts]) -> Estimate | None:
    """How far two agree beyond chance (Cohen 1960), over conversations that hold their verdicts; None without any.

    1 where they always agree, 0 where they agree as often as by chance. The interval is that of Fisher's transformation
    with a jackknife over conversations for its variance (Fleiss and Davies 1982 for kappa) and Student's t.
    """
    filled = [Counter(group) for group in groups if group]
    cells = Counter[tuple[Hashable, Hashable]]()
    for group in filled:
        cells.update(group)
    n, many = cells.total(), len(filled)
    if not n:
        return None
    found, agreed = _kappa(cells), sum(count for (one, other), count in cells.items() if one == other)
    rare = n - max(max(side.values()) for side in _sides(cells))
    if many < LEAST_KAPPA or rare < LEAST_RARE or abs(found) > PERFECT:
        note = f"all {n} alike" if agreed == n else f"{agreed} of {n} alike"
        return Estimate(mean=found, low=None, high=None, n=n, note=note)
    # What the transformed kappa changes by where one conversation is left out, to first order.
    parts = [_kappa(cells - group) / (1 - found**2) for group in filled]
    low, high = fisher_interval(found, parts, [group.total() for group in filled])
    return Estimate(mean=found, low=low, high=high, n=n)


def _kappa(cells: Counter[tuple[Hashable, Hashable]]) -> float:
    n = cells.total()
    firsts, seconds = _sides(cells)
    agreed = sum(count for (one, other), count in cells.items() if one == other) / n
    by_chance = sum(firsts[value] * seconds[value] for value in firsts) / n**2
    return 1.0 if by_chance > PERFECT else (agreed - by_chance) / (1 - by_chance)


def _sides(cells: Counter[tuple[Hashable, Hashable]]) -> tuple[Counter[Hashable], Counter[Hashable]]:
    """How often each of the two gave what."""
    firsts, seconds = Counter[Hashable](), Counter[Hashable]()
    for (one, other), count in cells.items():
        firsts[one] += count
        seconds[other] += count
    return firsts, seconds
