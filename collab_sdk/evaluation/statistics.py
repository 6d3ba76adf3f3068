"""The statistics of an evaluation: a mean and an interval for each bot, and each bot less the first."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

from collab_sdk.engine.usage import Usage
from collab_sdk.evaluation.asking_statistics import STATISTICS, Labelled, Statistic, share
from collab_sdk.evaluation.asking_statistics import estimate as estimate_asking
from collab_sdk.evaluation.episode import Episode
from collab_sdk.stats.bootstrap import Estimate, estimate_mean

Measure = Callable[[Episode], float]
MEASURES: Mapping[str, Measure] = {
    "k tokens read": lambda played: played.tokens("assistant") / 1000,
    "k tokens typed": lambda played: played.tokens("user") / 1000,
    "exchanges": lambda played: played.exchanges,
}
Value = TypeVar("Value")
Key = tuple[str, int]
"""A conversation's id and the sample's index: what pairs the bots."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BotResult:
    """All conversations of one bot, and what they cost in this run."""

    name: str
    played: tuple[Episode, ...]
    usage: Usage = field(default_factory=Usage)
    failed: Mapping[str, str] = field(default_factory=dict)
    """Goals that gave no conversation at all, and why."""
    usage_by_role: Mapping[str, Usage] = field(default_factory=dict)

    @property
    def done(self) -> dict[Key, Episode]:
        return {(one.conversation_id, one.future.sample): one for one in self.played if not one.is_missing}

    @property
    def ends(self) -> Counter[str]:
        return Counter(str(one.future.end) for one in self.played)

    @property
    def missing(self) -> Counter[str]:
        """Why conversations are missing, and how often."""
        lost = (one.future.error for one in self.played if one.future.error)
        return Counter([*lost, *self.failed.values()])


@dataclass(frozen=True, kw_only=True, slots=True)
class BotStatistic:
    """One thing measured. None where a bot has no conversation that tells of it."""

    name: str
    means: tuple[Estimate | None, ...]
    """By bot."""
    differences: tuple[Estimate | None, ...]
    """Each bot but the first, less the first: over the conversations that both have."""


def bot_statistics(results: Sequence[BotResult]) -> list[BotStatistic]:
    """With 95 % bootstrap intervals over conversations; those that no conversation tells of are left out."""
    metrics = sorted({name for result in results for one in result.done.values() for name in one.future.metrics})
    measures = {**{name: _metric(name) for name in _task_metric_first(metrics)}, **MEASURES}
    found = [_of_measure(name, measure, results) for name, measure in measures.items()]
    found = [*(_asking(name, statistic, results) for name, statistic in STATISTICS.items()), *found]
    found.append(_useful_questions(results))
    return [one for one in found if any(one.means)]


def _task_metric_first(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: name == "interactivity")


def _metric(name: str) -> Measure:
    return lambda played: played.future.metrics[name]


def _of_measure(name: str, measure: Measure, results: Sequence[BotResult]) -> BotStatistic:
    first, *others = results
    return BotStatistic(
        name=name,
        means=tuple(estimate_mean(_groups({key: [measure(one)] for key, one in r.done.items()})) for r in results),
        differences=tuple(estimate_mean(_paired(first, other, measure)) for other in others),
    )


def _paired(first: BotResult, other: BotResult, measure: Measure) -> list[list[float]]:
    """Differences by conversation."""
    shared = first.done.keys() & other.done.keys()
    return _groups({key: [measure(other.done[key]) - measure(first.done[key])] for key in shared})


def _groups(values: Mapping[Key, Sequence[Value]]) -> list[list[Value]]:
    """Values by conversation: its samples are alike, so they are drawn together."""
    return [
        [value for key in keys for value in values[key]] for _, keys in groupby(sorted(values), key=lambda key: key[0])
    ]


def _useful_questions(results: Sequence[BotResult]) -> BotStatistic:
    questions = [{key: one.questions for key, one in result.done.items()} for result in results]
    return BotStatistic(
        name="useful questions",
        means=tuple(estimate_mean(_groups(each)) for each in questions),
        differences=tuple(_difference(questions[0], other, share) for other in questions[1:]),
    )


def _asking(name: str, statistic: Statistic, results: Sequence[BotResult]) -> BotStatistic:
    labelled = [_labelled(result) for result in results]
    return BotStatistic(
        name=name,
        means=tuple(estimate_asking(_groups(each), statistic) for each in labelled),
        differences=tuple(_difference(labelled[0], other, statistic) for other in labelled[1:]),
    )


def _difference(
    first: Mapping[Key, Sequence[Value]],
    other: Mapping[Key, Sequence[Value]],
    statistic: Callable[[Sequence[Value]], float | None],
) -> Estimate | None:
    """Of a statistic, over the conversations that both have, which may say several things to it or nothing."""
    shared = first.keys() & other.keys()
    mine, less = (_groups({key: side[key] for key in shared}) for side in (other, first))
    return estimate_asking(mine, statistic, less=less)


def _labelled(result: BotResult) -> dict[Key, list[Labelled]]:
    return {
        key: [(one.is_ambiguous, one.asks)]
        for key, one in result.done.items()
        if one.is_ambiguous is not None and one.asks is not None
    }
