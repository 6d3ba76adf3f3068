"""Intervals, agreement and AUC."""

from collab_sdk.stats.bootstrap import Estimate, estimate_mean, estimate_statistic
from collab_sdk.stats.missing import MissingTally

__all__ = [
    "Estimate",
    "MissingTally",
    "estimate_mean",
    "estimate_statistic",
]
