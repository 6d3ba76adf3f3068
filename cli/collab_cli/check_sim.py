"""`collab check-sim`: the simulated user beside the real ones."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import isnan
from pathlib import Path

import click

from collab_cli.failures import finish, no_result
from collab_cli.options import CACHE_OPTIONS, DRY_RUN, LIMITS, LOGS, READING, ROLES, SCORING, Work, run_options
from collab_cli.params import OUTPUT, Command, option
from collab_cli.paths import WrittenPath, just
from collab_cli.progress import shown
from collab_cli.provenance import bots_of, how_played, judge_of, say, show_parts, users_of
from collab_cli.run import Run, end_dry_run, named, open_logs, running
from collab_cli.setup import prices_of
from collab_cli.terminal import (
    Problems,
    StatisticsTable,
    make_console,
    note,
    print_text,
    printable,
    require_stdout,
    show,
    this_command,
)
from collab_cli.units import of
from collab_sdk.calibration import Calibration, fit_calibration
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import UsageError
from collab_sdk.fidelity import (
    CheckedConversation,
    SimulatorCheck,
    UserStatistic,
    check_row,
    estimate_check,
    require_classifier,
    user_statistics,
)
from collab_sdk.files import JsonlWriter
from collab_sdk.jobs import roles_of
from collab_sdk.spec import RunSpec
from collab_sdk.stats import BRACKETS, said_of_many

WIDTH = 120
"""Columns from which a terminal has the meanings within the table, and not below it."""
NUMBERS = ("real", "simulated", "difference", "n")
LONGEST_NOTE = 24
"""Characters of what may stand beside a number in the table; more stands below it."""


@click.command("check-sim", cls=Command)
@LOGS
@option(
    "--calibrate",
    type=WrittenPath(files=just, dir_okay=False, path_type=Path),
    metavar="FILE",
    group=OUTPUT,
    help="Fit a correction of MR to what really followed, and write it for MRScorer(calibration=...).",
)
@option("--json", is_flag=True, group=OUTPUT, help="Print statistics and turns as a JSON object instead of a table.")
@option(
    "--verdicts",
    is_flag=True,
    group="What is scored",
    help="Ask the judge whether a user could say each simulated turn. Costs one more call per chat.",
)
@run_options(*READING, *ROLES, *SCORING, *LIMITS, DRY_RUN, *CACHE_OPTIONS)
def check_sim(
    logs: tuple[str, ...], calibrate: Path | None, json: bool, verdicts: bool, spec: RunSpec, work: Work
) -> None:
    """Compare the simulated user with the real users of logged chats.

    At every turn of a real user after the first, the simulator gets the same history and goal. Its messages are
    compared with the real ones: length, questions, typos, leaving, whether a classifier can tell them apart, whether
    they fit the conversation, and whether a user could say them at all. An index from 0 to 100 summarises this. MR of
    simulated futures is compared with the reward of what really followed; --window 0 skips this and calls only the
    simulator. Give the bot that wrote the logs as --assistant.

    \b
      collab check-sim chats.jsonl --model offline
      collab check-sim chats.jsonl -a py:my_app:bot --model openai/gpt-4o-mini \\
          --calibrate calibration.json
    """
    if calibrate is not None and not spec.window:
        raise UsageError("--calibrate compares MR with what followed, and --window 0 plays no future for it.")
    problems = Problems()
    if work.dry_run:
        _dry_run(logs, spec, work, problems, verdicts=verdicts)
        return
    require_stdout(None if json else calibrate)
    require_classifier()
    with ExitStack() as opened:
        run = opened.enter_context(running(logs, spec, work, problems))
        # Before anything is paid for: a file that cannot be written is said now.
        file = None if calibrate is None else opened.enter_context(JsonlWriter(calibrate))
        check = SimulatorCheck(run.scorer, verdicts=verdicts)
        with shown(run.progress):
            checked = run_sync(acheck(check, run, problems))
        turns = sum(len(one.turns) for one in checked)
        if not turns:
            no_result(f"no turn of a user after an assistant's answer could be checked in {named(logs)}")
        found = user_statistics(checked)
        if json:
            with JsonlWriter("-") as rows:
                rows.write(check_row(check, checked, found))
        else:
            played = [bots_of(spec), judge_of(spec), *how_played(spec)] if spec.window else []
            show_parts(users_of(spec), *played)
            _show_check(check, checked, found)
        if file is not None:
            file.write(_calibration(check, checked).to_dict())
    if calibrate is not None:
        note(f"Calibration: {calibrate}")
    if not json:
        rewards = "" if calibrate or not spec.window else "; --calibrate FILE writes a correction of MR"
        page = f"--json > check.json, then {this_command()} report check.json, shows both users turn by turn"
        say(f"Next: {page}{rewards}.")
    finish(problems, results=turns)


async def acheck(check: SimulatorCheck, run: Run, problems: Problems) -> list[CheckedConversation]:
    """Every conversation that could be checked. Raises RunStoppedError if the run cannot go on."""
    checked: list[CheckedConversation] = []
    done = 0
    async for outcome in check.acheck_all(run.conversations):
        if outcome.error is not None:
            problems.report(f"{outcome.conversation.id}: {outcome.error}")
        if outcome.value is not None:
            checked.append(outcome.value)
            for reason in outcome.value.lost:
                problems.report(f"{outcome.conversation.id}: {reason}")
        done += 1
        run.progress.update(done=done, failed=problems.count, mean_mr=None)
    return checked


def _calibration(check: SimulatorCheck, checked: list[CheckedConversation]) -> Calibration:
    """Says what it found; raises NotEnoughSamplesError where there is nothing to correct by."""
    calibration = fit_calibration(
        [pair for one in checked for pair in one.reward_pairs], made_with=check.scorer.made_with
    )
    note(
        f"Of real users, expect {calibration.intercept:.3f} + {calibration.slope:.3f} x MR; slope "
        f"[{calibration.slope_low:.2f}, {calibration.slope_high:.2f}], from {of(calibration.n, 'turn')}."
    )
    return calibration


def _dry_run(logs: tuple[str, ...], spec: RunSpec, work: Work, problems: Problems, *, verdicts: bool) -> None:
    """Show what a check would cost; ends the command where lines of the logs could not be read."""
    prices, conversations = prices_of(roles_of(spec)), tuple(open_logs(logs, spec, work, problems))
    end_dry_run(estimate_check(conversations, spec, prices, verdicts=verdicts), logs, problems)


def _number_and_reason(statistic: UserStatistic) -> tuple[str, str]:
    """A figure as the table has it, and the reason why it has no interval where that is too long for the table."""
    simulated, form = statistic.simulated, _form(statistic)
    if simulated.low is not None or len(simulated.note) <= LONGEST_NOTE:
        return f"{simulated:{form}}", ""
    return f"{replace(simulated, note='see below'):{form}}", simulated.note


def _form(statistic: UserStatistic) -> str:
    """Statistics from 0 to 100 have one digit after the point, others two."""
    return ".1f" if statistic.percent else ".2f"


def _note_ceiling(statistics: Sequence[UserStatistic]) -> None:
    """What the real users' index is, by the sides that were compared."""
    for statistic in statistics:
        if statistic.ceiling is not None and statistic.part_of is None:
            note(
                f"Real users among each other, by halves of the chats ({of(statistic.ceiling.n, 'pair')} of messages): "
                f"{statistic.name} {statistic.ceiling:{_form(statistic)}}."
            )


def _note_faults(check: SimulatorCheck, checked: Sequence[CheckedConversation]) -> None:
    """How many simulated turns no user would write, by kind, and whose fault that is."""
    turns = [turn for one in checked for turn in one.turns if turn.is_known]
    kinds = Counter(turn.fault for turn in turns if turn.fault)
    if kinds:
        said = ", ".join(f"{kind} ({number:,})" for kind, number in kinds.most_common())
        note(
            f"{kinds.total():,} of {of(len(turns), 'simulated turn')} are such as no user would write: {said}. "
            f"That is the fault of {printable(check.simulator.name)}, and not of the assistant."
        )


def _show_check(
    check: SimulatorCheck, checked: Sequence[CheckedConversation], statistics: Sequence[UserStatistic]
) -> None:
    """The statistics and what they mean, and on stderr who was compared."""
    from rich.table import Table

    is_wide = make_console(err=False).width >= WIDTH
    rows: list[Sequence[str]] = []
    below = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for statistic in statistics:
        simulated, reason = _number_and_reason(statistic)
        numbers = (
            "-" if statistic.real is None else f"{statistic.real:{_form(statistic)}}",
            simulated,
            "" if statistic.difference is None else f"{statistic.difference:+{_form(statistic)}}",
            f"{statistic.simulated.n:,}",
        )
        name = f"- {statistic.name}" if statistic.part_of else statistic.name
        rows.append([name, *numbers, *([statistic.meaning] if is_wide else [])])
        if said := [
            *([] if is_wide else [statistic.meaning]),
            *([f"no {'number' if isnan(statistic.simulated.mean) else 'interval'}: {reason}"] if reason else []),
        ]:
            below.add_row(name, "\n".join(said))
    if rows:
        head = ("", *NUMBERS, *(["meaning"] if is_wide else []))
        StatisticsTable(head=head, rows=rows, right={"n"}).show()
    else:
        note("Nothing could be compared.")
    if below.row_count:
        print_text()
        show(below)
    _note_ceiling(statistics)
    _note_faults(check, checked)
    turns = sum(len(one.turns) for one in checked)
    who = f"{printable(check.simulator.name)} beside the users of {of(len(checked), 'chat')}"
    note(f"{who}, {of(turns, 'turn')}. {BRACKETS}")
    if many := said_of_many(one for statistic in statistics for one in (statistic.simulated, statistic.difference)):
        note(many)
