"""What a conversation is worth: metrics by name, the project's own and everybody else's."""

from collab_sdk.metrics.base import Checklist, Evidence, Judgement, Metric, Rubric
from collab_sdk.metrics.judge import Judge
from collab_sdk.metrics.pass_rate import PassRate
from collab_sdk.metrics.resolve import (
    MetricLike,
    Metrics,
    as_metric,
    as_metrics,
    code_of,
    metric_names,
    metric_specs,
)
from collab_sdk.metrics.reward import Reward, tokens_by_role
from collab_sdk.metrics.token_penalty import TokenPenalty

__all__ = [
    "Checklist",
    "Evidence",
    "Judge",
    "Judgement",
    "Metric",
    "MetricLike",
    "Metrics",
    "PassRate",
    "Reward",
    "Rubric",
    "TokenPenalty",
    "as_metric",
    "as_metrics",
    "code_of",
    "metric_names",
    "metric_specs",
    "tokens_by_role",
]
