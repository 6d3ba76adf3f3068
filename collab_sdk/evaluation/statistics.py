"""The statistics of an evaluation: a mean and an interval for each bot, each bot minus the first, and by persona."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Self, TypeVar

from collab_sdk.engine.usage import Usage
from collab_sdk.evaluation.asking_statistics import (
    MACROS,
    SHARES,
    Labelled,
    Macro,
    estimate_macro,
    estimate_macro_difference,
)
from collab_sdk.evaluation.episode import Episode
from collab_sdk.runs.runner import Outcome
from collab_sdk.simulator import NOBODY, UserTotals
from collab_sdk.stats import (
    Estimate,
    estimate_amount,
    estimate_amount_difference,
    estimate_difference,
    estimate_minus,
    estimate_score,
    estimate_score_difference,
    estimate_share,
)
from collab_sdk.types import End, Persona

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
    failed: Mapping[str, str] = field(default_factory=dict)
    """Goals that gave no conversation at all, and why."""
    usage_by_role: Mapping[str, Usage] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, outcomes: Iterable[Outcome[tuple[Episode, ...]]], usage: Mapping[str, Usage]) -> Self:
        """Of what became of each row, and its usage by role."""
        found = list(outcomes)
        return cls(
            name=name,
            played=tuple(one for outcome in found for one in outcome.value or ()),
            failed={each.conversation.id: str(each.error) for each in found if each.error is not None},
            usage_by_role=usage,
        )

    @property
    def usage(self) -> Usage:
        """Of all roles together."""
        return sum(self.usage_by_role.values(), Usage())

    @property
    def done(self) -> dict[Key, Episode]:
        return {(one.conversation_id, one.future.sample): one for one in self.played if not one.is_missing}

    @property
    def ends(self) -> Counter[str]:
        return Counter(str(one.future.end) for one in self.played)

    @property
    def users(self) -> UserTotals:
        """Who played."""
        totals = UserTotals()
        totals.add(one.future for one in self.played)
        return totals

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
    """Each bot but the first, minus the first: over the conversations that both have."""


def bot_statistics(results: Sequence[BotResult]) -> list[BotStatistic]:
    """With 95 % intervals over conversations; those that no conversation tells of are left out."""
    metrics = sorted({name for result in results for one in result.done.values() for name in one.future.metrics})
    found = [
        *(_of_shares(name, kind, results) for name, kind in SHARES.items()),
        *(_of_macro(name, macro, results) for name, macro in MACROS.items()),
        *(_of_metric(name, results) for name in _task_metric_first(metrics)),
        *(_of_amount(name, measure, results) for name, measure in MEASURES.items()),
        _useful_questions(results),
    ]
    return [one for one in found if any(one.means)]


def _task_metric_first(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: name == "interactivity")


def _of_metric(name: str, results: Sequence[BotResult]) -> BotStatistic:
    def values(result: BotResult) -> dict[Key, list[float]]:
        return {key: [one.future.metrics[name]] for key, one in result.done.items()}

    first, *others = map(values, results)
    # A metric does not say whether it is a yes or no, so all bots' values say it, lest counts stand beside means.
    is_yes_or_no = all(value in (0, 1) for each in (first, *others) for [value] in each.values())
    mean, difference = (
        (estimate_share, estimate_difference) if is_yes_or_no else (estimate_score, estimate_score_difference)
    )
    return BotStatistic(
        name=name,
        means=tuple(mean(_groups(each)) for each in (first, *others)),
        differences=tuple(difference(_paired(first, other)) for other in others),
    )


def _of_amount(name: str, measure: Measure, results: Sequence[BotResult]) -> BotStatistic:
    first, *others = ({key: [measure(one)] for key, one in result.done.items()} for result in results)
    return BotStatistic(
        name=name,
        means=tuple(estimate_amount(_groups(each)) for each in (first, *others)),
        differences=tuple(estimate_amount_difference(_paired(first, other)) for other in others),
    )


def share_statistic(name: str, test: Callable[[Episode], bool], results: Sequence[BotResult]) -> BotStatistic:
    """Of a yes or no that every conversation tells of."""
    first, *others = ({key: [float(test(one))] for key, one in result.done.items()} for result in results)
    return BotStatistic(
        name=name,
        means=tuple(estimate_share(_groups(each)) for each in (first, *others)),
        differences=tuple(estimate_difference(_paired(first, other)) for other in others),
    )


def _of_shares(name: str, kind: Callable[[Labelled], bool | None], results: Sequence[BotResult]) -> BotStatistic:
    def counted(result: BotResult) -> dict[Key, list[float]]:
        judged = ((key, kind(labelled)) for key, [labelled] in _labelled(result).items())
        return {key: [float(value)] for key, value in judged if value is not None}

    first, *others = map(counted, results)
    return BotStatistic(
        name=name,
        means=tuple(estimate_share(_groups(each)) for each in (first, *others)),
        differences=tuple(estimate_difference(_paired(first, other)) for other in others),
    )


def _of_macro(name: str, macro: Macro, results: Sequence[BotResult]) -> BotStatistic:
    first, *others = map(_labelled, results)
    both = (_together(first, other) for other in others)
    return BotStatistic(
        name=name,
        means=tuple(estimate_macro(_groups(each), macro) for each in (first, *others)),
        differences=tuple(estimate_macro_difference(other, one, macro) for one, other in both),
    )


def _useful_questions(results: Sequence[BotResult]) -> BotStatistic:
    """Of all questions: a bot may ask several in a conversation, or none."""
    first, *others = ({key: list(map(float, one.questions)) for key, one in result.done.items()} for result in results)
    both = (_together(first, other) for other in others)
    return BotStatistic(
        name="useful questions",
        means=tuple(estimate_share(_groups(each)) for each in (first, *others)),
        differences=tuple(estimate_share_difference(other, one) for one, other in both),
    )


def estimate_share_difference(more: Sequence[Sequence[float]], less: Sequence[Sequence[float]]) -> Estimate | None:
    """The difference of two shares of the same conversations, of which each may count several things or nothing."""
    found = estimate_share(more), estimate_share(less)
    if found[0] is None or found[1] is None:
        return None
    totals = [(sum(map(sum, side)), sum(map(len, side))) for side in (more, less)]
    without = [
        ((right - sum(one)) / (n - len(one)), (others_right - sum(other)) / (others_n - len(other)))
        for one, other in zip(more, less, strict=True)
        for (right, n), (others_right, others_n) in [totals]
        if n > len(one) and others_n > len(other)
    ]
    return estimate_minus(found[0], found[1], without)


def _groups(values: Mapping[Key, Sequence[Value]]) -> list[list[Value]]:
    """Values by conversation: its samples are alike."""
    return [
        [value for key in keys for value in values[key]] for _, keys in groupby(sorted(values), key=lambda key: key[0])
    ]


def _paired(
    first: Mapping[Key, Sequence[float]], other: Mapping[Key, Sequence[float]]
) -> list[list[tuple[float, float]]]:
    """By conversation: the values of both, of the samples that both have."""
    return _groups({key: list(zip(first[key], other[key], strict=True)) for key in first.keys() & other.keys()})


def _together(
    first: Mapping[Key, Sequence[Value]], other: Mapping[Key, Sequence[Value]]
) -> tuple[list[list[Value]], list[list[Value]]]:
    """Both by conversation, over the samples that both have, which may say several things or nothing."""
    shared = first.keys() & other.keys()
    return _groups({key: first[key] for key in shared}), _groups({key: other[key] for key in shared})


def _labelled(result: BotResult) -> dict[Key, list[Labelled]]:
    return {
        key: [(one.is_ambiguous, one.asks)]
        for key, one in result.done.items()
        if one.is_ambiguous is not None and one.asks is not None
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonaResult:
    """One bot's conversations, by persona; the first is nobody in particular.

    In `statistics` a mean is one persona's, and a difference a persona minus nobody, over the conversations with the
    same goal and sample index that both have.
    """

    bot: str
    personas: tuple[str, ...]
    results: tuple[BotResult, ...]
    statistics: tuple[BotStatistic, ...]


def without_persona(result: BotResult, personas: Sequence[Persona]) -> BotResult:
    """What is compared with other bots: the conversations of users without a persona, where there are others too."""
    return _of(result, NOBODY.name) if personas else result


def by_persona(results: Sequence[BotResult], personas: Sequence[Persona]) -> list[PersonaResult]:
    """For each bot what its evaluation by `personas` found; none where there are none."""
    names = (NOBODY.name, *(persona.name for persona in personas))
    return [_persona_result(result, names) for result in results] if personas else []


def _persona_result(result: BotResult, names: tuple[str, ...]) -> PersonaResult:
    parts = tuple(_of(result, name) for name in names)
    # Whether the bot's first answer asks was settled before its user had said who they are.
    of_all = [each for each in bot_statistics(parts) if each.name not in (*SHARES, *MACROS)]
    left = share_statistic(End.GAVE_UP.value, lambda one: one.future.end is End.GAVE_UP, parts)
    return PersonaResult(bot=result.name, personas=names, results=parts, statistics=(*of_all, left))


def _of(result: BotResult, persona: str) -> BotResult:
    return replace(result, played=tuple(one for one in result.played if one.future.persona == persona))
