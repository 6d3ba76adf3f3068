"""`collab check-judge`: how far the judge can be trusted."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from collab_cli.failures import finish, no_result
from collab_cli.options import CACHE_OPTIONS, DRY_RUN, LIMITS, READING, ROLES, SCORING, Work, run_options
from collab_cli.params import INPUT, OUTPUT, Command, Count, option
from collab_cli.paths import ReadPath
from collab_cli.progress import Progress, shown
from collab_cli.provenance import bots_of, how_played, judge_of, say, show_parts, users_of, what_counts
from collab_cli.run import Run, end_dry_run, open_logs, running
from collab_cli.setup import prices_of
from collab_cli.terminal import Problems, StatisticsTable, note, printable, require_stdout
from collab_cli.units import of
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import UsageError
from collab_sdk.files import JsonlWriter
from collab_sdk.jobs import roles_of
from collab_sdk.judging import (
    CheckedJudgements,
    JudgeCheck,
    JudgeStatistic,
    PeopleCheck,
    RatedResponse,
    ReviewedPair,
    estimate_judge_check,
    judge_check_row,
    judge_statistics,
    read_rated_responses,
    read_reviewed_pairs,
)
from collab_sdk.report import read_decisions
from collab_sdk.runs import Outcome
from collab_sdk.spec import RunSpec
from collab_sdk.stats import BRACKETS, said_of_many

T = TypeVar("T")
FILE = ReadPath(dir_okay=False, path_type=Path)
HOLDS = {True: "yes", False: "NO", None: ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class People:
    """What people decided, as read from the files."""

    rated: Sequence[RatedResponse]
    reviewed: Sequence[ReviewedPair]


@click.command("check-judge", cls=Command)
@click.argument("logs", type=ReadPath(path_type=str, allow_dash=True), nargs=-1, metavar="[LOGS]...")
@option(
    "--rated",
    type=FILE,
    metavar="FILE",
    group=INPUT,
    help="Responses rated by people: rows with history, decision (or response) and human (1 good, 0 bad).",
)
@option(
    "--decisions",
    type=FILE,
    metavar="FILE",
    group=INPUT,
    help="Decisions that reviewers saved on the page of collab report. Needs --pairs.",
)
@option(
    "--pairs",
    type=FILE,
    metavar="FILE",
    group=INPUT,
    help="The pairs, written by export-prefs, that --decisions is about.",
)
@option(
    "--repeats",
    type=Count(min=1),
    default=3,
    show_default=True,
    metavar="N",
    group="What is scored",
    help="How many times to judge each chat.",
)
@option("--json", is_flag=True, group=OUTPUT, help="Print statistics and judgements as JSON instead of a table.")
@run_options(*READING, *ROLES, *SCORING, *LIMITS, DRY_RUN, *CACHE_OPTIONS)
def check_judge(
    logs: tuple[str, ...],
    rated: Path | None,
    decisions: Path | None,
    pairs: Path | None,
    repeats: int,
    json: bool,
    spec: RunSpec,
    work: Work,
) -> None:
    """Measure how far the judge can be trusted.

    The first reply of each logged chat is replaced by replies that deliver nothing: empty words, flattery, or a plea to
    the judge. They should earn no more than no reply. Then the whole chat is judged several times, once with the
    requirements in reverse order, and once with the last reply repeated. --rated and --decisions compare the judge with
    people. Only rated responses are played forward, for --window exchanges; --window 0 judges them as they stand.

    \b
      collab check-judge chats.jsonl --model offline
      collab check-judge --pairs prefs.jsonl --decisions prefs.decisions.json \\
          --judge openai/gpt-4o-mini
    """
    if (decisions is None) != (pairs is None):
        raise UsageError("--decisions says what was decided on --pairs: give both, or neither.")
    if not logs and rated is None and decisions is None:
        raise UsageError("There is nothing to check the judge on: give logs, --rated FILE, or --decisions and --pairs.")
    problems = Problems()
    people = People(
        rated=read_rated_responses(rated, problems.report, limit=work.limit) if rated else (),
        reviewed=read_reviewed_pairs(pairs, read_decisions(decisions), problems.report) if decisions and pairs else (),
    )
    if work.dry_run:
        prices = prices_of(roles_of(spec))
        chats = open_logs(logs, spec, work, problems) if logs else iter(())
        estimated = estimate_judge_check(
            chats, spec, prices, repeats=repeats, rated=people.rated, reviewed=people.reviewed
        )
        end_dry_run(estimated, logs, problems)
        return
    require_stdout()
    with ExitStack() as opened:
        run = opened.enter_context(running(logs, spec, work, problems))
        check = JudgeCheck(run.scorer, repeats=repeats)
        if run.progress.total is not None:
            run.progress.total += len(people.rated) + len(people.reviewed)
        with shown(run.progress):
            checked, people = run_sync(acheck(check, run, people, problems))
        of_rated, of_reviewed = judge_statistics((), people.rated), judge_statistics((), (), people.reviewed)
        statistics = [*judge_statistics(checked), *of_rated, *of_reviewed]
        judged = _judged(checked, people)
        if not judged:
            no_result("nothing could be judged")
        if json:
            with JsonlWriter("-") as rows:
                rows.write(judge_check_row(check, statistics, checked, people.rated, people.reviewed))
        else:
            played = [bots_of(spec), users_of(spec), *how_played(spec)] if people.rated else []
            show_parts(judge_of(spec), *played, f"judged {repeats} times", what_counts(spec))
            _show_check(check, statistics, checked, people)
            for line in _without_statistics(people, of_rated, of_reviewed):
                note(line)
    if not json:
        say(_next(statistics, people))
    finish(problems, results=judged)


def _next(statistics: Sequence[JudgeStatistic], people: People) -> str:
    wrong = [each.name for each in statistics if each.holds is False and not each.is_too_few]
    if wrong:
        return (
            f"Next: another --judge, since {'; '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not as it should be."
        )
    if people.rated or people.reviewed:
        return "Next: --json prints every judgement with its reason."
    return "Next: --rated FILE, or --pairs and --decisions, set the judge beside people; --json prints every judgement."


async def acheck(
    check: JudgeCheck, run: Run, people: People, problems: Problems
) -> tuple[list[CheckedJudgements], People]:
    """Everything that could be judged. Raises RunStoppedError if the run cannot go on."""
    checked = await _atake(check.acheck_all(run.conversations), run.progress, problems)
    for one in checked:
        for reason in one.lost:
            problems.report(f"{one.conversation.id}: {reason}")
    with_people = PeopleCheck(check.scorer)
    rated = await _atake(with_people.arate_all(people.rated), run.progress, problems)
    reviewed = await _atake(with_people.acompare_all(people.reviewed), run.progress, problems)
    lost = [(each.conversation.id, each.error) for each in rated] + [
        (pair.conversation.id, pair.error) for pair in reviewed
    ]
    for conversation_id, error in lost:
        if error:
            problems.report(f"{conversation_id}: {error}")
    return checked, People(rated=rated, reviewed=reviewed)


async def _atake(outcomes: AsyncIterator[Outcome[T]], progress: Progress, problems: Problems) -> list[T]:
    taken: list[T] = []
    async for outcome in outcomes:
        if outcome.error is not None:
            problems.report(f"{outcome.conversation.id}: {outcome.error}")
        if outcome.value is not None:
            taken.append(outcome.value)
        progress.update(done=progress.done + 1, failed=problems.count, mean_mr=None)
    return taken


def _judged(checked: Sequence[CheckedJudgements], people: People) -> int:
    """How much was judged: chats, rated responses and reviewed pairs."""
    return (
        sum(bool(one.judged) for one in checked)
        + sum(each.value is not None for each in people.rated)
        + sum(pair.margin is not None for pair in people.reviewed)
    )


def _show_check(
    check: JudgeCheck, statistics: Sequence[JudgeStatistic], checked: Sequence[CheckedJudgements], people: People
) -> None:
    """The statistics by group, what each should be, and on stderr what was judged."""
    rows: list[Sequence[str]] = []
    group = ""
    for statistic in statistics:
        if statistic.group != group:
            group = statistic.group
            rows.append([group.capitalize()])
        value = statistic.value
        answer = "too few" if statistic.is_too_few else HOLDS[statistic.holds]
        rows.append([f"  {statistic.name}", f"{value:.2f}", f"{value.n:,}", statistic.meaning, answer])
    if rows:
        StatisticsTable(head=("", "figure", "n", "should be", "is it?"), rows=rows, right={"n"}).show()
    judged = [of(sum(bool(one.judged) for one in checked), "chat")] if checked else []
    judged += [of(len(people.rated), "rated response")] if people.rated else []
    judged += [of(len(people.reviewed), "reviewed pair")] if people.reviewed else []
    note(f"{printable(check.judge.model.name)} on {', '.join(judged)}. {BRACKETS}")
    if many := said_of_many(each.value for each in statistics):
        note(many)


def _without_statistics(
    people: People, of_rated: Sequence[JudgeStatistic], of_reviewed: Sequence[JudgeStatistic]
) -> Iterator[str]:
    """Why there is no figure of what people decided, where there is none."""
    if people.rated and not of_rated:
        known = [each.is_good for each in people.rated if each.value is not None]
        yield (
            f"No figure of rated responses: {sum(known):,} good and {len(known) - sum(known):,} bad were judged, and "
            "figures compare the two."
        )
    if people.reviewed and not of_reviewed:
        yield "No figure of reviewed pairs: none that was kept or flipped could be judged."
