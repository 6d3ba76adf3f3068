"""What an evaluation requires of a bot in CI: least values, and that it is no worse than a baseline."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click

from collab_cli.evaluate_run import Evaluation, TaskRun
from collab_cli.failures import ExitCode, no_result
from collab_cli.params import Number, each_once, option
from collab_cli.paths import ReadPath
from collab_cli.terminal import StatisticsTable, cell, note, print_text, printable
from collab_cli.units import of
from collab_sdk.errors import UsageError
from collab_sdk.evaluation import (
    Baseline,
    BotResult,
    Change,
    Evaluator,
    StatisticCheck,
    changes,
    check_at_least,
    check_names,
    check_not_worse,
    why_undecided,
)

WORSE = "worse"
CI = "For CI"


class LeastValue(click.ParamType[tuple[str, float]]):
    """`METRIC=VALUE`."""

    name = "metric=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        name, separator, least = value.rpartition("=")
        if not name.strip() or not separator:
            self.fail(f"{value!r} must read METRIC=VALUE, such as goal=0.8.", param, ctx)
        return name.strip(), Number().convert(least, param, ctx)


REQUIREMENTS = [
    option(
        "--baseline",
        type=ReadPath(dir_okay=False, path_type=Path),
        metavar="FILE",
        group=CI,
        help="Compare with an earlier evaluation, written by -o. Conversations that are in both are compared in pairs.",
    ),
    option(
        "--fail-if",
        type=click.Choice([WORSE]),
        group=CI,
        help=f"Exit with code {ExitCode.WORSE:d} if the whole 95 % interval of a metric is below the --baseline.",
    ),
    option(
        "--fail-under",
        type=LeastValue(),
        multiple=True,
        callback=each_once,
        metavar="METRIC=VALUE",
        group=CI,
        help=f"Exit with code {ExitCode.WORSE:d} if the whole 95 % interval of a metric is below VALUE; repeatable.",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirements:
    """What was asked for."""

    baselines: Mapping[str, Baseline]
    not_worse: bool
    least: Mapping[str, float]

    @classmethod
    def taken_out(cls, values: dict[str, Any]) -> Self:
        """Raises UsageError for --fail-if without a baseline, InputError for a baseline that cannot be read."""
        path, fail_if, least = (values.pop(name) for name in ("baseline", "fail_if", "fail_under"))
        if fail_if and path is None:
            raise UsageError("--fail-if worse needs the evaluation to compare with: give --baseline FILE.")
        baselines = {} if path is None else Baseline.read(path)
        return cls(baselines=baselines, not_worse=bool(fail_if), least=dict(least))

    def check(self, task: TaskRun, made_with: Mapping[str, Any], bots: Iterable[str]) -> None:
        """Raise UsageError for what no evaluation of this task can tell, before anything is paid for."""
        evaluator = task.evaluator
        try:
            check_names(self.least, evaluator.reward.metrics, map(evaluator.is_ambiguous, task.conversations))
        except UsageError as error:
            raise UsageError(f"--fail-under, {evaluator.task.name}: {error}") from None
        if (baseline := self._baseline(evaluator)) is not None:
            baseline.check(made_with, exchanges=evaluator.exchanges)
            for bot in bots:
                baseline.of(bot)

    def _baseline(self, evaluator: Evaluator) -> Baseline | None:
        return Baseline.of_task(self.baselines, evaluator.task.name) if self.baselines else None

    def checks(self, evaluation: Evaluation, compared: Iterable[BotResult]) -> Iterator[StatisticCheck]:
        """Show what changed since the baseline, and check all that is required of the bots."""
        evaluator = evaluation.evaluator
        baseline = self._baseline(evaluator)
        for result in compared:
            if baseline is not None:
                before = baseline.of(result.name)
                found = changes(result, before)
                _show_changes(evaluator.task.name, result.name, before.name, found)
                if self.not_worse:
                    yield from check_not_worse(result.name, found, evaluator.reward.metrics)
            yield from check_at_least(result, self.least)


def _show_changes(task: str, bot: str, before: str, found: Sequence[Change]) -> None:
    """A row for each statistic: what it was, what it is, the difference."""
    rows = [[each.name, cell(each.before, ".3f"), cell(each.now, ".3f"), cell(each.change, "+.3f")] for each in found]
    print_text()
    StatisticsTable(head=(task, f"baseline\n({printable(before)})", printable(bot), "Δ vs baseline"), rows=rows).show()
    pairs = max((each.pairs for each in found), default=0)
    note(
        f"The baseline and {printable(bot)} have {of(pairs, 'conversation')} in common, by which they are compared."
        if pairs
        else f"The baseline and {printable(bot)} have no conversation in common: their means are compared, with less "
        "precision."
    )


def end_by(checks: Sequence[StatisticCheck]) -> None:
    """Leave with an exit code of its own if a check fails, and without a result if one decides nothing."""
    failed = [each for each in checks if each.failed]
    for each in failed:
        note(printable(f"Failed: {each.statistic} of {each.bot}: {each.said}."))
    if failed:
        raise click.exceptions.Exit(ExitCode.WORSE)
    if undecided := why_undecided(checks):
        no_result("; ".join(undecided))
