"""What lets an evaluation fail in CI: a bot that is worse than a baseline, or below a least value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from collab_cli.evaluate_run import Evaluation, TaskRun
from collab_cli.failures import ExitCode, no_result
from collab_cli.params import Number, option
from collab_cli.paths import ReadPath
from collab_cli.terminal import StatisticsTable, cell, note, printable
from collab_cli.units import of
from collab_sdk.errors import UsageError
from collab_sdk.evaluation import (
    Baseline,
    BotResult,
    Change,
    bot_statistics,
    changes,
    gated,
    is_below,
    known_statistics,
)

WORSE = "worse"
GATE = "For CI"


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


GATES = [
    option(
        "--baseline",
        type=ReadPath(dir_okay=False, path_type=Path),
        metavar="FILE",
        group=GATE,
        help="Compare with an earlier evaluation, written by -o. Conversations that are in both are compared in pairs.",
    ),
    option(
        "--fail-if",
        type=click.Choice([WORSE]),
        group=GATE,
        help=f"Exit with code {ExitCode.WORSE:d} if the whole 95 % interval of a metric is below the --baseline.",
    ),
    option(
        "--fail-under",
        type=LeastValue(),
        multiple=True,
        metavar="METRIC=VALUE",
        group=GATE,
        help=f"Exit with code {ExitCode.WORSE:d} if the whole 95 % interval of a metric is below VALUE; repeatable.",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """What was asked for."""

    baselines: Mapping[str, Baseline]
    fails_if_worse: bool
    least: Sequence[tuple[str, float]]

    @classmethod
    def taken_out(cls, values: dict[str, Any]) -> "Gate":
        """Raises UsageError for --fail-if without a baseline, InputError for a baseline that cannot be read."""
        path, fail_if, least = (values.pop(name) for name in ("baseline", "fail_if", "fail_under"))
        if fail_if and path is None:
            raise UsageError("--fail-if worse needs the evaluation to compare with: give --baseline FILE.")
        return cls(
            baselines={} if path is None else Baseline.read(path), fails_if_worse=bool(fail_if), least=tuple(least)
        )

    def check(self, task: TaskRun, made_with: Mapping[str, Any], bots: Sequence[str]) -> None:
        """Raise UsageError for what no evaluation of this task can tell, before anything is paid for."""
        known = known_statistics(task.evaluator.reward.metrics)
        if unknown := [name for name, _ in self.least if name not in known]:
            raise UsageError(
                f"--fail-under {unknown[0]}: {task.evaluator.task.name} has no such figure; it has {', '.join(known)}."
            )
        if (baseline := self._of(task.evaluator.task.name)) is not None:
            baseline.check(made_with, exchanges=task.evaluator.exchanges)
            for bot in bots:
                baseline.of(bot)

    def _of(self, task: str) -> Baseline | None:
        if self.baselines and task not in self.baselines:
            path = next(iter(self.baselines.values())).path
            raise UsageError(f"{path} has no evaluation of {task}; it has {', '.join(self.baselines)}.")
        return self.baselines.get(task)

    def judge(self, evaluation: Evaluation, compared: Sequence[BotResult]) -> Iterator["Verdict"]:
        """Show what changed since the baseline, and say of each figure that decides what it is."""
        task = evaluation.evaluator.task.name
        metrics = gated(evaluation.evaluator.reward.metrics)
        baseline = self._of(task)
        for result in compared:
            if baseline is not None:
                before = baseline.of(result.name)
                found = changes(result, before)
                _show_changes(task, result.name, before.name, found)
                if self.fails_if_worse:
                    for each in found:
                        if each.name in metrics:
                            yield _worse(each, result.name)
            means = {each.name: each.means[0] for each in bot_statistics([result])}
            for name, value in self.least:
                mean = means.get(name)
                what = f"{name} of {printable(result.name)}"
                said = "not measured" if mean is None else f"{mean:.3f}"
                yield Verdict(is_bad=is_below(mean, value), what=what, said=f"{said}, below {value:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether a figure lets the run fail; None where there are too few conversations to tell."""

    is_bad: bool | None
    what: str
    said: str


def _worse(change: Change, bot: str) -> Verdict:
    said = "not measured in both" if change.change is None else f"{change.change:+.3f}"
    return Verdict(
        is_bad=is_below(change.change),
        what=f"{change.name} of {printable(bot)}",
        said=f"{said} since the baseline",
    )


def _show_changes(task: str, bot: str, before: str, found: Sequence[Change]) -> None:
    """A row for each figure: what it was, what it is, the difference."""
    rows = [[each.name, cell(each.now, ".3f"), cell(each.change, "+.3f")] for each in found]
    click.echo()
    StatisticsTable(head=(task, printable(bot), f"Δ vs baseline\n({printable(before)})"), rows=rows).show()
    pairs = max((each.pairs for each in found), default=0)
    note(
        f"The baseline and {printable(bot)} have {of(pairs, 'conversation')} in common, by which they are compared."
        if pairs
        else f"The baseline and {printable(bot)} have no conversation in common: their means are compared, with less "
        "precision."
    )


def end_gate(verdicts: Sequence[Verdict]) -> None:
    """Leave with the gate's exit code if a figure is bad, and without a result if one cannot be told."""
    for verdict in verdicts:
        if verdict.is_bad:
            note(f"Failed: {verdict.what}: {verdict.said}.")
    if any(verdict.is_bad for verdict in verdicts):
        raise click.exceptions.Exit(ExitCode.WORSE)
    if unknown := [verdict.what for verdict in verdicts if verdict.is_bad is None]:
        no_result(f"too few conversations to tell {' and '.join(unknown)}; 20 are enough for any figure")
