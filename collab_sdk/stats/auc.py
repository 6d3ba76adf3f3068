"""The area under the ROC curve, with an interval for values that come in conversations."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from statistics import NormalDist

from collab_sdk.stats.bootstrap import Estimate

Groups = Mapping[str, Sequence[float]]
"""Scores by conversation."""


def estimate_auc(positives: Groups, negatives: Groups, *, level: float = 0.95) -> Estimate | None:
    """The chance that a positive scores above a negative, ties half; None where either kind is missing.

    The interval is Obuchowski's for clustered data (Biometrics 1997), normal, within [0, 1].
    """
    above, below = (
        sorted(score for scores in groups.values() for score in scores) for groups in (positives, negatives)
    )
    if not above or not below:
        return None
    placed = {name: [_share_below(score, below) for score in scores] for name, scores in positives.items()}
    passed = {name: [1 - _share_below(score, above) for score in scores] for name, scores in negatives.items()}
    auc = sum(map(sum, placed.values())) / len(above)
    names = placed.keys() | passed.keys()
    if len(names) < 2:
        return Estimate(mean=auc, low=None, high=None, n=len(above) + len(below))
    # What each conversation adds to the AUC, by both kinds of its scores together, since they are alike.
    parts = [
        sum(share - auc for share in placed.get(name, ())) / len(above)
        + sum(share - auc for share in passed.get(name, ())) / len(below)
        for name in sorted(names)
    ]
    error = (sum(part**2 for part in parts) * len(parts) / (len(parts) - 1)) ** 0.5
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Estimate(mean=auc, low=max(0.0, auc - reach), high=min(1.0, auc + reach), n=len(above) + len(below))


def _share_below(score: float, ordered: Sequence[float]) -> float:
    """Of `ordered`, the share below the score, ties half."""
    return (bisect_left(ordered, score) + bisect_right(ordered, score)) / (2 * len(ordered))
