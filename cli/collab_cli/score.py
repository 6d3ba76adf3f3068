"""`collab score`: the MR of every assistant turn, or of every decision."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click

from collab_cli.failures import finish, no_result
from collab_cli.options import (
    CACHE_OPTIONS,
    DRY_RUN,
    LIMITS,
    LOGS,
    PER,
    READING,
    ROLES,
    RUNNER,
    SCORING,
    Work,
    run_options,
)
from collab_cli.params import OUTPUT, Command, option
from collab_cli.paths import WrittenPath
from collab_cli.progress import shown
from collab_cli.provenance import warn_of_self_preference
from collab_cli.run import Run, dry_run, named, running
from collab_cli.score_output import ScoreResult, Take, json_rows
from collab_cli.summary import show_missing, show_scales, show_users
from collab_cli.terminal import Problems, require_stdout
from collab_sdk import MRScore, RunSpec
from collab_sdk.concurrency import run_sync
from collab_sdk.files import run_path
from collab_sdk.jobs import ScoreJob
from collab_sdk.simulator import UserTotals
from collab_sdk.stats import MissingTally


def _files(output: Path) -> list[Path]:
    return [output, run_path(output)]


@click.command(cls=Command)
@LOGS
@option("--json", is_flag=True, group=OUTPUT, help="Print JSON lines with every future instead of a summary.")
@option("--table", is_flag=True, group=OUTPUT, help="Also list the scores of all responses, chat by chat.")
@option(
    "--output",
    "-o",
    type=WrittenPath(files=_files, dir_okay=False, path_type=Path),
    metavar="FILE",
    group=OUTPUT,
    help="Write the JSON lines to FILE, for collab report.",
)
@run_options(*READING, *ROLES, *PER, *SCORING, *LIMITS, DRY_RUN, *CACHE_OPTIONS, *RUNNER)
def score(logs: tuple[str, ...], json: bool, table: bool, output: Path | None, spec: RunSpec, work: Work) -> None:
    """Score every assistant turn of logged chats, or every decision of an agent.

    The score of a response is its MR, the mean reward of conversations that continue from it. The reward measures how
    much of the user's goal was met, how well the assistant collaborated, how many tokens this took, and, if there are
    tools, whether calls and results support the assistant's claims. The observed reward is that of what really
    followed. LOGS are files, folders, or - for stdin.

    \b
      collab score chats.jsonl --model offline
      collab score chats.jsonl -a py:my_app:bot --model openai/gpt-4o-mini \\
          --json > scores.jsonl
    """
    if table and json:
        raise click.UsageError("Give --table or --json, not both.")
    problems, tally = Problems(), Tally()
    if work.dry_run:
        warn_of_self_preference(spec)
        dry_run(logs, spec, work, problems)
        return
    if not json:
        require_stdout(output)
    with ScoreResult(spec, table=table, output=output, err=json) as result:
        with ExitStack() as opened:
            run = opened.enter_context(running(logs, spec, work, problems))
            warn_of_self_preference(spec)
            takes = [result.of(run.scorer)]
            if json:
                takes.append(opened.enter_context(json_rows("-", run.scorer, spec.runner)))
            if output is not None:
                takes.append(opened.enter_context(json_rows(output, run.scorer, spec.runner)))
            opened.enter_context(shown(run.progress, streaming=json))
            run_sync(ascore(run, tally, problems, takes))
            if not tally.conversations:  # an output of an earlier run stays
                no_result(f"no conversation could be read from {named(logs)}")
        show_scales(tally.measured, scores=tally.scores)
        show_users(tally.users, reasons=True)
        show_missing(tally.futures, broken_off=tally.broken_off)
    finish(problems, results=tally.scores, why="no response could be scored", incomplete=tally.scores < tally.turns)


@dataclass(kw_only=True, slots=True)
class Tally:
    """What was scored so far."""

    conversations: int = 0
    turns: int = 0
    scores: int = 0
    mr_sum: float = 0.0
    measured: Counter[str] = field(default_factory=Counter)
    """Scores that each metric counts in."""
    broken_off: int = 0
    """Samples in which a reply of the assistant's did not end by itself."""
    futures: MissingTally = field(default_factory=MissingTally)
    """Their rewards."""
    users: UserTotals = field(default_factory=UserTotals)
    """Who played them."""

    @property
    def mean_mr(self) -> float | None:
        return self.mr_sum / self.scores if self.scores else None

    def add(self, score: MRScore) -> None:
        self.turns += 1
        self.broken_off += score.n_broken_off
        self.users.add(score.futures)
        self.futures.add([future.reward for future in score.futures])
        if score.value is not None:
            self.scores += 1
            self.mr_sum += score.value
            self.measured.update(score.metrics.keys())


async def ascore(run: Run, tally: Tally, problems: Problems, takes: Sequence[Take]) -> None:
    """Hand every score to each of `takes`, in input order.

    Raises RunStoppedError once all that was paid for is handed on.
    """
    async for outcome in run.runner.run(ScoreJob(spec=run.spec), run.conversations):
        if outcome.error is not None:
            problems.report(f"{outcome.conversation.id}: {outcome.error}")
        for turn, turn_score in zip(outcome.conversation.units(run.spec.per), outcome.value or (), strict=False):
            tally.add(turn_score)
            for take in takes:
                take(turn_score, turn)
        tally.conversations += 1
        run.progress.update(done=tally.conversations, failed=problems.count, mean_mr=tally.mean_mr)
