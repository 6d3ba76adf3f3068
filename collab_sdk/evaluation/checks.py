"""Whether a bot's statistics are high enough: at least a value, or not below those of a baseline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collab_sdk.errors import UsageError
from collab_sdk.evaluation.asking_statistics import KINDS
from collab_sdk.evaluation.baseline import Change
from collab_sdk.evaluation.statistics import BotResult, bot_statistics
from collab_sdk.stats import Estimate

ENOUGH = "20 in which a statistic occurs are mostly enough"
OTHERS = ("useful questions",)
COMPARED = ("macro accuracy",)
"""Beside the metrics, what may not get worse: of all others, either nobody knows what is better, or these say it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatisticCheck:
    """Whether a statistic of a bot is too low by its whole 95 % interval.

    Values that are all equal have no interval, and decide themselves.
    """

    statistic: str
    bot: str
    measured: Estimate | None
    """Of the statistic, or of its change since the baseline; None where no conversation tells of it."""
    least: float | None = None
    """None for a change, which may be anything but below zero."""

    @property
    def failed(self) -> bool | None:
        """None where it was not measured, or in too few conversations to tell."""
        least, found = self.least or 0.0, self.measured
        if found is None:
            return None
        if found.high is not None:
            return found.high < least
        return found.mean < least if found.is_constant else None

    @property
    def said(self) -> str:
        """What was found: `0.52 [0.41, 0.63], below 0.8`, or `-0.10 [-0.15, -0.05] since the baseline`."""
        change = self.least is None
        found = "not measured" if self.measured is None else f"{self.measured:{'+' if change else ''}.3f}"
        if change:
            return "not measured in both" if self.measured is None else f"{found} since the baseline"
        return f"{found}, below {self.least:g}" if self.failed else found


def check_at_least(result: BotResult, least: Mapping[str, float]) -> list[StatisticCheck]:
    """Whether each of these statistics is at least its value. See `check_names` for names that are none."""
    means = {each.name: each.means[0] for each in bot_statistics([result])}
    return [
        StatisticCheck(statistic=name, bot=result.name, measured=means.get(name), least=value)
        for name, value in least.items()
    ]


def check_not_worse(bot: str, changes: Sequence[Change], metrics: Iterable[str]) -> list[StatisticCheck]:
    """Whether the metrics, and the bot's choice between asking and answering, are as high as in the baseline."""
    names = (*metrics, *COMPARED)
    return [
        StatisticCheck(statistic=each.name, bot=bot, measured=each.change) for each in changes if each.name in names
    ]


def why_undecided(checks: Iterable[StatisticCheck]) -> list[str]:
    """Of the checks that decide nothing, what is to be said; none where all do."""
    undecided = [each for each in checks if each.failed is None]
    too_few = [f"{each.statistic} of {each.bot}" for each in undecided if each.measured is not None]
    return [
        *(f"{each.statistic} of {each.bot} was {each.said}" for each in undecided if each.measured is None),
        *([f"too few conversations to tell {' and '.join(too_few)}; {ENOUGH}"] if too_few else []),
    ]


def check_names(names: Iterable[str], metrics: Iterable[str], labels: Iterable[bool | None]) -> None:
    """Raise UsageError for what conversations with these metrics cannot tell.

    `labels` are what is known of their openings: whether each is ambiguous, None where nobody says.
    """
    known, found = [*metrics, *KINDS, *OTHERS], set(labels)
    for name in names:
        if name not in known:
            raise UsageError(f"There is no statistic {name!r} with a least value; there is {', '.join(known)}.")
        if missing := [what for what in KINDS.get(name, ()) if what not in found]:
            kind = "ambiguous" if missing[0] else "clear"
            raise UsageError(f"{name!r} cannot be measured: no row is marked as {kind}.")
