"""The figures of an evaluation: a mean and an interval for each bot, and each bot less the first."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from collab_sdk.chat.ledger import Usage
from collab_sdk.evaluation.asking_figures import STATISTICS, Labelled, Statistic
from collab_sdk.evaluation.asking_figures import estimate as estimate_asking
from collab_sdk.evaluation.played import Played
from collab_sdk.statistics import Estimate, estimate_mean

Measure = Callable[[Played], Sequence[float]]
"""What one conversation has to say to a figure; nothing where the figure does not apply."""
MEASURES: Mapping[str, Measure] = {
    "k tokens read": lambda played: [played.tokens("assistant") / 1000],
    "k tokens typed": lambda played: [played.tokens("user") / 1000],
    "exchanges": lambda played: [played.exchanges],
    "useful questions": lambda played: played.questions,
}
Key = tuple[str, int]
"""A conversation's id and the sample's index: what pairs the bots."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BotResult:
    """All conversations of one bot, and what they cost in this run."""

    name: str
    played: tuple[Played, ...]
    usage: Usage = field(default_factory=Usage)
    failed: Mapping[str, str] = field(default_factory=dict)
    """Goals that gave no conversation at all, and why."""

    @property
    def done(self) -> dict[Key, Played]:
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
class Figure:
    """One thing measured. None where a bot has no conversation that tells of it."""

    name: str
    means: tuple[Estimate | None, ...]
    """By bot."""
    differences: tuple[Estimate | None, ...]
    """Each bot but the first, less the first: over the conversations that both have."""


def figures(results: Sequence[BotResult]) -> list[Figure]:
    """With 95 % bootstrap intervals over conversations; figures that no conversation tells of are left out."""
    metrics = sorted({name for result in results for one in result.done.values() for name in one.future.metrics})
    measures = {**{name: _metric(name) for name in _task_metric_first(metrics)}, **MEASURES}
    found = [_figure(name, measure, results) for name, measure in measures.items()]
    found = [*(_asking(name, statistic, results) for name, statistic in STATISTICS.items()), *found]
    return [figure for figure in found if any(figure.means)]


def _task_metric_first(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: name == "interactivity")


def _metric(name: str) -> Measure:
    return lambda played: [played.future.metrics[name]]


def _figure(name: str, measure: Measure, results: Sequence[BotResult]) -> Figure:
    first, *others = results
    return Figure(
        name=name,
        means=tuple(estimate_mean(_groups({key: measure(one) for key, one in r.done.items()})) for r in results),
        differences=tuple(estimate_mean(_paired(first, other, measure)) for other in others),
    )


def _paired(first: BotResult, other: BotResult, measure: Measure) -> list[list[float]]:
    """Differences by conversation. Several values of one conversation, or none, have no partner."""
    pairs = {key: (measure(first.done[key]), measure(other.done[key])) for key in first.done if key in other.done}
    return _groups({key: [b[0] - a[0]] for key, (a, b) in pairs.items() if len(a) == len(b) == 1})


def _groups(values: Mapping[Key, Sequence[float]]) -> list[list[float]]:
    """Values by conversation: its samples are alike, so they are drawn together."""
    return [
        [value for key in keys for value in values[key]] for _, keys in groupby(sorted(values), key=lambda key: key[0])
    ]


def _asking(name: str, statistic: Statistic, results: Sequence[BotResult]) -> Figure:
    labelled = [_labelled(result) for result in results]

    def difference(other: Mapping[Key, Labelled]) -> Estimate | None:
        shared = sorted(labelled[0].keys() & other.keys())
        mine, less = ([[side[key]] for key in shared] for side in (other, labelled[0]))
        return estimate_asking(mine, statistic, less=less)

    return Figure(
        name=name,
        means=tuple(estimate_asking([[one] for one in each.values()], statistic) for each in labelled),
        differences=tuple(difference(other) for other in labelled[1:]),
    )


def _labelled(result: BotResult) -> dict[Key, Labelled]:
    return {
        key: (one.is_ambiguous, one.asks)
        for key, one in result.done.items()
        if one.is_ambiguous is not None and one.asks is not None
    }
