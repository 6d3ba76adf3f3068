"""Metrics by name, by function or by object, with their weights; and as data."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from typing import Any, cast

from collab_sdk.errors import UsageError
from collab_sdk.metrics.base import Evidence, Metric
from collab_sdk.models.form import Form
from collab_sdk.plugins import function_code, import_named, load, module_code, names
from collab_sdk.spec import MetricSpec
from collab_sdk.types import LARGEST_VALUE
from collab_sdk.values import read_value

MetricFunction = Callable[..., float | Awaitable[float]]
"""A metric as a plain function of the evidence, or of parts of it by their names: `def short(messages): ...`."""
MetricLike = str | Metric | MetricFunction
Metrics = MetricLike | Iterable[MetricLike | MetricSpec] | Mapping[str, float] | Mapping[MetricLike, float]
"""One metric or several, each of weight 1 unless a mapping says otherwise."""
PARTS = tuple(each.name for each in fields(Evidence))


def metric_names() -> list[str]:
    return names("metrics")


class FunctionMetric:
    """A metric that is a function: of parts of the evidence, by its parameters' names, or of the whole evidence."""

    def __init__(self, function: MetricFunction, options: Mapping[str, Any]) -> None:
        self.name = str(getattr(function, "__name__", type(function).__name__)).strip("<>")
        self.options = {**options, "function": f"{function.__module__}.{self.name}", "code": function_code(function)}
        self._function = partial(function, **options) if options else function
        parameters = [each for each in inspect.signature(function).parameters.values() if each.name not in options]
        self._parts = [each.name for each in parameters if each.name in PARTS]
        needed = [each for each in parameters if each.default is each.empty]
        if not self._parts and len(needed) != 1:
            raise UsageError(
                f"The metric {self.name}{inspect.signature(function)} cannot be called: a function takes the evidence, "
                f"or parts of it by name: {', '.join(PARTS)}."
            )

    def value(self, evidence: Evidence) -> float | Awaitable[float]:
        if not self._parts:
            return self._function(evidence)
        return self._function(**{name: getattr(evidence, name) for name in self._parts})


def as_metric(metric: MetricLike | MetricSpec) -> Metric:
    """A metric from its name, a function, a MetricSpec, or an object with the Metric protocol.

    Raises UnknownNameError, listing the known names, and UsageError for an option that the metric does not have.
    """
    if isinstance(metric, str):
        metric = MetricSpec(name=metric)
    if isinstance(metric, MetricSpec):
        return _named(metric)
    if hasattr(metric, "value") and hasattr(metric, "name"):
        return cast(Metric, metric)
    if callable(metric):
        return FunctionMetric(metric, {})
    raise UsageError(
        f"{type(metric).__name__} is not a metric: expected a name, a function of the evidence, or an object with a "
        "name and a value(evidence)."
    )


def _named(spec: MetricSpec) -> Metric:
    if spec.name.startswith("py:"):
        found, _ = import_named(spec.name)
    else:
        found = load("metrics", spec.name)
    if isinstance(found, type):
        return cast(Metric, _made(spec, found))
    if not callable(found):
        if spec.options:
            raise UsageError(f"The metric {spec.name} takes no options.")
        return as_metric(found)
    needed = [each for each in inspect.signature(found).parameters.values() if each.default is each.empty]
    return FunctionMetric(found, spec.options) if needed else cast(Metric, _made(spec, found))


def _made(spec: MetricSpec, make: Callable[..., Any]) -> Any:
    """The metric with its options, which are checked where their types are known."""
    bound = getattr(make, "keywords", {})
    known = [name for name in inspect.signature(make).parameters if name not in ("name", "sandbox", *bound)]
    options = {name: value for name, value in spec.options.items() if name not in bound or bound[name] != value}
    if unknown := [name for name in options if name not in known]:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise UsageError(f"The metric {spec.name} has no option {unknown[0]!r}: {has}.")
    if not is_dataclass(make):
        made = make(**options)
        if options and not hasattr(made, "options"):
            made.options = options  # for the provenance
        return made
    try:
        return read_value(make, options, spec.name)
    except ValueError as error:
        raise UsageError(f"{error}.") from None


def as_metrics(metrics: Metrics) -> Mapping[str, tuple[Metric, float]]:
    """Metrics with their weights, by name. Raises UsageError for none at all, and for one that is given twice."""
    chosen: dict[str, tuple[Metric, float]] = {}
    for given, weight in _weighted(metrics):
        metric = as_metric(given)
        if metric.name in chosen:
            raise UsageError(f"The metric {metric.name!r} is given twice. Keep one, or give yours another name.")
        if not abs(weight) <= LARGEST_VALUE:
            raise UsageError(
                f"The weight of {metric.name} is {weight}; it must be a number no larger than {LARGEST_VALUE:g}."
            )
        chosen[metric.name] = (metric, float(weight))
    if not chosen:
        raise UsageError(f"No metric is given. Known: {', '.join(metric_names())}.")
    return chosen


def _weighted(metrics: Metrics) -> list[tuple[Any, float]]:
    if isinstance(metrics, Mapping):
        return list(metrics.items())
    one = isinstance(metrics, str | MetricSpec) or hasattr(metrics, "value") or not isinstance(metrics, Iterable)
    several: Iterable[Any] = [metrics] if one else cast(Iterable[Any], metrics)
    return [(each, each.weight if isinstance(each, MetricSpec) else 1.0) for each in several]


def metric_specs(metrics: Mapping[str, tuple[Metric, float]]) -> tuple[MetricSpec, ...]:
    """Metrics as data, with every option that decides a value."""
    return tuple(
        MetricSpec(name=name, weight=weight, options=_options_of(metric)) for name, (metric, weight) in metrics.items()
    )


def _options_of(metric: Metric) -> dict[str, Any]:
    given = getattr(metric, "options", None)
    if isinstance(given, Mapping):
        return dict(given)
    if is_dataclass(metric) and not isinstance(metric, type):
        fixed = ("name", *(each.name for each in fields(metric) if isinstance(getattr(metric, each.name), Form)))
        named = {name: value for name, value in asdict(metric).items() if name not in fixed and not callable(value)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}
    return {}


def code_of(metric: Metric) -> str | None:
    """A hash of the code of a metric of one's own, which gives other values when it changes; None for the package's."""
    if isinstance(metric, FunctionMetric):
        return str(metric.options["code"])
    module = type(metric).__module__
    return None if module.startswith("collab_sdk.") else module_code(module)


def highest_of(metric: Metric) -> float | None:
    """The highest value that a metric can have; None for one of somebody's own that has no `highest`."""
    known = getattr(metric, "highest", 1.0 if code_of(metric) is None else None)
    return None if known is None else float(known)
