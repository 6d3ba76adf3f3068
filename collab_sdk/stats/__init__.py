"""Intervals, agreement and AUC."""

from collab_sdk.stats.bootstrap import Estimate, estimate_mean, estimate_statistic

__all__ = [
    "Estimate",
    "estimate_mean",
    "estimate_statistic",
]
