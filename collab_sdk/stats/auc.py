"""The area under the ROC curve, with an interval for values that come in conversations."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from math import sqrt

from collab_sdk.stats.clusters import reach
from collab_sdk.stats.estimate import Estimate
from collab_sdk.stats.quantiles import bisect

Scores = Mapping[str, Sequence[float]]
"""By conversation."""
LEAST_AUC = 15
"""Conversations with a positive, and with a negative, from which an AUC has an interval."""


def estimate_auc(positives: Scores, negatives: Scores) -> Estimate | None:
    """The chance that a positive scores above a negative, ties half; None where either kind is missing.

    The interval is a score interval (Newcombe 2006, Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic, part 2, method 5), on the effective number of values by Obuchowski's variance for clustered
    data (Biometrics 1997).
    """
    above, below = (
        sorted(score for scores in groups.values() for score in scores) for groups in (positives, negatives)
    )
    if not above or not below:
        return None
    placed = {name: [_share_below(score, below) for score in scores] for name, scores in positives.items() if scores}
    passed = {
        name: [1 - _share_below(score, above) for score in scores] for name, scores in negatives.items() if scores
    }
    auc, n = sum(map(sum, placed.values())) / len(above), len(above) + len(below)
    if min(len(placed), len(passed)) < LEAST_AUC:
        note = f"{len(above)} against {len(below)}"
        return Estimate(mean=auc, low=None, high=None, n=n, note=note)
    # What each conversation adds to the AUC, by both kinds of its scores together, since they are alike.
    names = sorted(placed.keys() | passed.keys())
    parts = [
        _left_out([share - auc for share in placed.get(name, ())], len(above))
        + _left_out([share - auc for share in passed.get(name, ())], len(below))
        for name in names
    ]
    variance = sum(part**2 for part in parts) * (len(parts) - 1) / len(parts)
    independent = _variance(auc, len(above), len(below))
    effect = variance / independent if variance and independent else 1.0
    sizes = [len(placed.get(name, ())) + len(passed.get(name, ())) for name in names]
    errors = reach(sizes)

    def beyond(value: float) -> float:
        return abs(value - auc) - errors * sqrt(effect * _variance(value, len(above), len(below)))

    low = bisect(lambda value: -beyond(value), 0.0, auc)
    high = bisect(beyond, auc, 1.0)
    return Estimate(mean=auc, low=low, high=high, n=n)


def _left_out(residuals: Sequence[float], n: int) -> float:
    """By how much a mean of `n` would change without them."""
    return sum(residuals) / (n - len(residuals)) if residuals else 0.0


def _variance(auc: float, positives: int, negatives: int) -> float:
    """Of independent scores, by Hanley and McNeil (Radiology 1982), both kinds taken to be as many as on average."""
    more = (positives + negatives) / 2 - 1
    spread = 1 + more * (1 - auc) / (2 - auc) + more * auc / (1 + auc)
    return auc * (1 - auc) * spread / (positives * negatives)


def _share_below(score: float, ordered: Sequence[float]) -> float:
    """Of `ordered`, the share below the score, ties half."""
    return (bisect_left(ordered, score) + bisect_right(ordered, score)) / (2 * len(ordered))
