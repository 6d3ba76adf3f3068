"""Cohen's kappa, with an interval for verdicts that come in conversations."""

from collections import Counter
from collections.abc import Hashable, Sequence
from math import atanh, fsum, tanh
from statistics import NormalDist

from collab_sdk.stats import Estimate

Verdicts = Sequence[tuple[Hashable, Hashable]]
"""What two gave for the same thing."""
LEAST_KAPPA = 10
"""Conversations from which a kappa has an interval."""
PERFECT = 1 - 1e-9


def estimate_kappa(groups: Sequence[Verdicts]) -> Estimate | None:
    """How far two agree beyond chance (Cohen 1960), over conversations that hold their verdicts; None without any.

    1 where they always agree, 0 where they agree as often as by chance. The interval is Fisher's transformation's, with
    a jackknife over conversations for its variance (Fleiss and Davies 1982 for kappa) and Student's t.
    """
    filled = [Counter(group) for group in groups if group]
    cells = sum(filled, Counter[tuple[Hashable, Hashable]]())
    if not cells:
        return None
    found, many = _kappa(cells), len(filled)
    n = cells.total()
    without = [_kappa(cells - group) for group in filled]
    if many < LEAST_KAPPA or abs(found) > PERFECT or max(map(abs, without)) > PERFECT:
        return Estimate(mean=found, low=None, high=None, n=n)
    parts = [atanh(value) for value in without]
    centre = fsum(parts) / many
    error = (fsum((part - centre) ** 2 for part in parts) * (many - 1) / many) ** 0.5
    reach = NormalDist().inv_cdf(0.975) * error
    return Estimate(mean=found, low=tanh(atanh(found) - reach), high=tanh(atanh(found) + reach), n=n)


def _kappa(cells: Counter[tuple[Hashable, Hashable]]) -> float:
    n = cells.total()
    if not n:
        return 1.0
    agreed = sum(count for (one, other), count in cells.items() if one == other) / n
    firsts, seconds = Counter[Hashable](), Counter[Hashable]()
    for (one, other), count in cells.items():
        firsts[one] += count
        seconds[other] += count
    by_chance = sum(firsts[value] * seconds[value] for value in firsts) / n**2
    return 1.0 if by_chance > PERFECT else (agreed - by_chance) / (1 - by_chance)
