"""What a conversation is worth: metrics by name, the project's own and everybody else's."""

from collections.abc import Iterable, Mapping
from typing import cast

from collab_sdk.errors import UnknownNameError, UsageError
from collab_sdk.metrics.base import Evidence, Judgement, Metric, Rubric
from collab_sdk.metrics.judge import Judge
from collab_sdk.metrics.pass_rate import PassRate
from collab_sdk.metrics.reward import Reward
from collab_sdk.metrics.token_penalty import TokenPenalty
from collab_sdk.plugins import registered

PLUGIN_GROUP = "collab_sdk.metrics"


def metric_names() -> list[str]:
    return sorted(registered(PLUGIN_GROUP))


def as_metric(metric: Metric | str) -> Metric:
    """A metric from its name. Raises UnknownNameError, listing the known ones."""
    if not isinstance(metric, str):
        return metric
    point = registered(PLUGIN_GROUP).get(metric)
    if point is None:
        raise UnknownNameError.of("metric", metric, metric_names())
    return cast(Metric, point.load()())


def as_metrics(weights: Mapping[Metric | str, float] | Mapping[str, float]) -> Mapping[str, tuple[Metric, float]]:
    """Metrics with their weights, by name. Raises UsageError for none at all, and for one that is given twice."""
    pairs: Iterable[tuple[Metric | str, float]] = weights.items()
    chosen: dict[str, tuple[Metric, float]] = {}
    for metric, weight in ((as_metric(m), w) for m, w in pairs):
        if metric.name in chosen:
            raise UsageError(f"The metric {metric.name!r} is given twice. Keep one, or give yours another name.")
        chosen[metric.name] = (metric, float(weight))
    if not chosen:
        raise UsageError(f"No metric is given. Known: {', '.join(metric_names())}.")
    return chosen


__all__ = [
    "Evidence",
    "Judge",
    "Judgement",
    "Metric",
    "PassRate",
    "Reward",
    "Rubric",
    "TokenPenalty",
    "as_metric",
    "as_metrics",
    "metric_names",
]
