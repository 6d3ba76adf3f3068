"""`collab evaluate`: bots in whole conversations with the simulated user."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import click

from collab_cli.evaluate_requirements import REQUIREMENTS, Requirements, end_by
from collab_cli.evaluate_run import Asked, Evaluation, dry_run, evaluating
from collab_cli.failures import finish
from collab_cli.options import (
    CACHE_OPTIONS,
    DRY_RUN,
    LIMITS,
    RUNNER,
    SEVERAL_BOTS,
    Work,
    declared_options,
    run_options,
    taking,
)
from collab_cli.params import INPUT, OUTPUT, Command, TaskName, option
from collab_cli.paths import WrittenPath, just
from collab_cli.provenance import say, show_provenance, warn_of_self_preference
from collab_cli.row_options import ROW_OPTIONS, Rows
from collab_cli.summary import note_same_user, show_users
from collab_cli.terminal import (
    Problems,
    StatisticsTable,
    cell,
    make_console,
    note,
    print_text,
    printable,
    require_stdout,
    this_command,
)
from collab_cli.units import money, of
from collab_sdk import RunSpec
from collab_sdk.errors import UsageError
from collab_sdk.evaluation import (
    BotResult,
    BotStatistic,
    MissingBounds,
    PersonaResult,
    StatisticCheck,
    bot_statistics,
    by_persona,
    evaluation_row,
    missing_bounds,
    plot_statistics,
    require_plot,
    without_persona,
)
from collab_sdk.files import JsonlWriter
from collab_sdk.simulator import NOBODY, UserTotals
from collab_sdk.spec import EvaluationSpec
from collab_sdk.stats import BRACKETS, said_of_many
from collab_sdk.training import users_of_bot

WRITTEN = WrittenPath(files=just, dir_okay=False, path_type=Path)
HELPS = {"samples": "How many times to play each row."}
PLAYED = declared_options(RunSpec, only=("samples", "calls_per_turn"), helps=HELPS, samples=1)


@click.command(cls=Command)
@option(
    "--task",
    "-t",
    type=TaskName(),
    multiple=True,
    required=True,
    metavar="TASK",
    group=INPUT,
    help="Task to play: a benchmark, logs for your own chats, or py:MODULE:NAME for your own task; repeatable.",
)
@option(
    "--output",
    "-o",
    type=WRITTEN,
    metavar="FILE",
    group=OUTPUT,
    help="Write statistics and conversations to FILE as JSON.",
)
@option("--plot", type=WRITTEN, metavar="PNG", group=OUTPUT, help="Draw the statistics to a PNG file.")
@taking(REQUIREMENTS)
@run_options(
    *ROW_OPTIONS,
    *SEVERAL_BOTS,
    *declared_options(EvaluationSpec),
    *PLAYED,
    *LIMITS,
    DRY_RUN,
    *CACHE_OPTIONS,
    *RUNNER,
    with_people=True,
)
def evaluate(
    task: tuple[str, ...],
    output: Path | None,
    plot: Path | None,
    spec: RunSpec,
    work: Work,
    **values: Any,
) -> None:
    """Let bots hold whole conversations with the simulated user, and compare the results.

    Each statistic has a 95 % interval over conversations, and each difference to the first bot one over pairs of
    conversations with the same goal. If there are too few conversations, counts are shown instead. Tasks: abg-coqa,
    bigcodebench-chat, logs, math-chat, medium-docedit, order-desk.

    \b
      collab evaluate -a openai/gpt-4o-mini -a proactive:openai/gpt-4o-mini \\
          -t math-chat --model openai/gpt-4o-mini
      collab evaluate -a py:my_app:bot -t logs --data chats.jsonl \\
          --model openai/gpt-4o-mini -o result.json
      collab evaluate -a py:my_app:bot -t logs --data chats.jsonl \\
          --model openai/gpt-4o-mini --by-persona --persona vague
    """
    required, rows = Requirements.taken_out(values), Rows.taken_out(values, work)
    for flag, given in (("--data file", rows.data), ("--split", rows.split)):
        if given is not None and len(task) > 1:
            raise UsageError(f"One {flag} belongs to one --task: run the command once for each.")
    if plot is not None and len(task) > 1:
        raise UsageError("One --plot shows one --task: run the command once for each.")
    problems = Problems()
    asked = Asked(
        spec=replace(spec, evaluation=replace(spec.evaluation, tasks=tuple(dict.fromkeys(task)))),
        work=work,
        rows=rows,
    )
    for bot in spec.assistants:
        note_same_user(bot.name, users_of_bot(bot.name), spec)
    if work.dry_run:
        warn_of_self_preference(spec)
        dry_run(asked, problems)
        return
    require_stdout(output)
    if plot is not None:
        require_plot()
    done, checks = 0, list[StatisticCheck]()
    with evaluating(asked, problems) as run:
        warn_of_self_preference(spec)
        for playing in run.tasks:
            required.check(playing, run.made_with(playing), list(run.bots))
        measured = map(Measured.of, run.all())
        for each in measured if output is None else _written(measured, output):
            results, title = each.evaluation.results, each.evaluation.evaluator.task.name
            done += sum(len(result.done) for result in results)
            _show_evaluation(each)
            checks += required.checks(each.evaluation, each.compared)
            if plot is not None and each.statistics:
                bots = [result.name for result in results]
                plot_statistics(each.statistics, bots, plot, title=title, personas=each.personas)
    for what, path in (("Details:", output), ("Plot:", plot)):
        if path is not None:
            note(f"{what:<9} {path}")
    if done:
        say(_next(output), err=True)
        end_by(checks)
    finish(problems, results=done, why="no conversation could be played and scored")


def _next(output: Path | None) -> str:
    report = f"{this_command()} report"
    if output is None:
        return f"Next: -o result.json keeps every conversation, for {report}, and as --baseline of a later run."
    return f"Next: {report} {output} shows every conversation; a later run takes it as --baseline."


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """An evaluation with its statistics, and with what is missing from them."""

    evaluation: Evaluation
    statistics: Sequence[BotStatistic]
    missing: Sequence[MissingBounds]
    compared: Sequence[BotResult]
    """What the statistics are of: where personas are compared, the conversations without one."""
    personas: Sequence[PersonaResult]

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        personas = evaluation.evaluator.personas
        compared = [without_persona(result, personas) for result in evaluation.results]
        return cls(
            evaluation=evaluation,
            statistics=bot_statistics(compared),
            missing=missing_bounds(compared, samples=evaluation.evaluator.samples),
            compared=compared,
            personas=by_persona(evaluation.results, personas),
        )


def _written(measured: Iterable[Measured], path: Path) -> Iterator[Measured]:
    """Pass evaluations on, and write each as a row. The file is opened before anything is paid for."""
    with JsonlWriter(path) as file:
        for each in measured:
            one = each.evaluation
            file.write(
                evaluation_row(
                    *(one.evaluator, one.results, each.statistics, each.missing),
                    personas=each.personas,
                    made_with=one.made_with,
                )
            )
            yield each


def _show_evaluation(measured: Measured) -> None:
    """Figures with their intervals, how conversations ended, and money; on stderr why some are missing."""
    evaluation, figures = measured.evaluation, measured.statistics
    results = measured.compared
    first, *others = results
    evaluator = evaluation.evaluator
    task = evaluator.task.name
    if evaluator.exchanges == 1:  # nothing that a bot does could change it
        figures = [figure for figure in figures if figure.name != "exchanges"]
    rows = of(int(evaluation.rows["chosen"]), "row")
    most = of(evaluator.exchanges, "exchange")
    show_provenance(evaluation.spec, f"{rows} of {task}, {of(evaluator.samples, 'time')}", f"{most} at most")
    means = StatisticsTable(
        head=(task, *(printable(result.name) for result in results)),
        rows=[
            *([figure.name, *(cell(mean, ".3f") for mean in figure.means)] for figure in figures),
            ["conversations", *(f"{len(result.done)} of {_played_of(result, evaluation)}" for result in results)],
            ["ends", *(_ends(result) for result in results)],
            ["money, this run", *(money(result.usage) for result in results)],
        ],
    )
    differences = StatisticsTable(
        head=(task, *(f"{printable(other.name)}\nΔ vs {printable(first.name)}" for other in others)),
        rows=[[figure.name, *(cell(difference, "+.3f") for difference in figure.differences)] for figure in figures],
    )
    beside = means.beside(differences)
    if beside.least <= make_console(err=False).width or not others:
        beside.show()
    else:
        means.show()
        print_text()
        differences.show()
    for each in measured.personas:
        print_text()
        _show_personas(each, evaluation)
    note(f"{BRACKETS} Of differences, over pairs with the same goal.")
    shown = [*figures, *(figure for each in measured.personas for figure in each.statistics)]
    if many := said_of_many(one for figure in shown for one in (*figure.means, *figure.differences)):
        note(many)
    for result in evaluation.results:
        for reason, count in result.missing.most_common(3):
            note(f"{count:>7,} missing of {printable(result.name)}: {printable(reason)}")
    totals = UserTotals()
    totals.add(one.future for result in evaluation.results for one in result.played)
    show_users(totals)
    for line in _missing_lines(results, measured.missing):
        note(line)


def _show_personas(each: PersonaResult, evaluation: Evaluation) -> None:
    """A row for each persona, with the difference to users without one, under each statistic."""
    rows: list[list[str]] = []
    for figure in each.statistics:
        rows.append([figure.name])
        for name, mean, difference in zip(each.personas, figure.means, (None, *figure.differences), strict=True):
            less = "" if name == NOBODY.name else cell(difference, "+.3f")
            rows.append([f"  {printable(name)}", cell(mean, ".3f"), less])
    rows.append(["conversations"])
    for name, result in zip(each.personas, each.results, strict=True):
        rows.append([f"  {printable(name)}", f"{len(result.done)} of {_played_of(result, evaluation)}", ""])
    head = (evaluation.evaluator.task.name, printable(each.bot), f"Δ vs {NOBODY.name}")
    StatisticsTable(head=head, rows=rows).show()


def _missing_lines(results: Sequence[BotResult], missing: Sequence[MissingBounds]) -> Iterator[str]:
    """How far the missing conversations could move the means, or the differences to the first bot."""
    first, *others = results
    for place, result in enumerate(others or [first]) if missing else ():
        all_bounds = ((each.name, (each.differences if others else each.means)[place]) for each in missing)
        ranges = "; ".join(f"{name} {low:+.3f} to {high:+.3f}" for name, (low, high) in all_bounds)
        name = printable(result.name)
        what = f"{name} minus {printable(first.name)} would be" if others else f"{name} would have"
        yield f"If every missing conversation had the lowest, or the highest, value seen, {what}: {ranges}."


def _played_of(result: BotResult, evaluation: Evaluation) -> int:
    return len(result.played) + len(result.failed) * evaluation.evaluator.samples


def _ends(result: BotResult) -> str:
    return ", ".join(f"{end} {count}" for end, count in result.ends.most_common())
