"""Estimates with intervals that hold at the sizes people run; `benchmarks/coverage.py` measures how often they do."""

from collab_sdk.stats.agreement import estimate_kappa
from collab_sdk.stats.auc import estimate_auc
from collab_sdk.stats.calibrating import Measured, estimate_together, fit_line
from collab_sdk.stats.clusters import Groups, Pairs
from collab_sdk.stats.combined import estimate_combined, estimate_minus
from collab_sdk.stats.correlation import estimate_correlation
from collab_sdk.stats.estimate import BRACKETS, Estimate, said_of_many
from collab_sdk.stats.means import (
    LEAST_MEAN,
    estimate_amount,
    estimate_amount_difference,
    estimate_difference,
    estimate_mean,
    estimate_score,
    estimate_score_difference,
)
from collab_sdk.stats.missing import MissingTally, difference_bounds
from collab_sdk.stats.orders import Third, estimate_order, is_right, order_by_size
from collab_sdk.stats.quantiles import student, student_beyond
from collab_sdk.stats.shares import estimate_paired_share, estimate_share

__all__ = [
    "BRACKETS",
    "LEAST_MEAN",
    "Estimate",
    "Groups",
    "Measured",
    "MissingTally",
    "Pairs",
    "Third",
    "difference_bounds",
    "estimate_amount",
    "estimate_amount_difference",
    "estimate_auc",
    "estimate_combined",
    "estimate_correlation",
    "estimate_difference",
    "estimate_kappa",
    "estimate_mean",
    "estimate_minus",
    "estimate_order",
    "estimate_paired_share",
    "estimate_score",
    "estimate_score_difference",
    "estimate_share",
    "estimate_together",
    "fit_line",
    "is_right",
    "order_by_size",
    "said_of_many",
    "student",
    "student_beyond",
]
