"""A run over logged chats: where they come from, who scores them, how far it is."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice

from collab_cli.failures import finish
from collab_cli.options import RunOptions
from collab_cli.progress import Progress
from collab_cli.setup import open_runner, open_scorer, score_job
from collab_cli.summary import show_estimate, show_usage
from collab_cli.terminal import Problems
from collab_sdk import Conversation, MRScorer, read_conversations
from collab_sdk.cost import estimate_usage
from collab_sdk.jobs import Models, ScoreJob
from collab_sdk.logs import count_conversations
from collab_sdk.models import CallRole, Price
from collab_sdk.runs import Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    job: ScoreJob
    scorer: MRScorer
    runner: Runner
    conversations: Iterator[Conversation]
    progress: Progress


@contextmanager
def running(logs: tuple[str, ...], options: RunOptions, problems: Problems) -> Iterator[Run]:
    """Set a run up; whatever ends it, what it cost is shown."""
    with ExitStack() as opened:
        scorer = opened.enter_context(open_scorer(options))
        conversations = open_logs(logs, options, problems)
        count = count_conversations(logs, format=options.log_format)
        runner = opened.enter_context(open_runner(options, scorer.engine))  # it may take seconds
        totals = [total for total in (count, options.limit) if total is not None]
        progress = Progress(scorer.engine.ledger, total=min(totals, default=None))
        try:
            yield Run(
                job=score_job(options),
                scorer=scorer,
                runner=runner,
                conversations=conversations,
                progress=progress,
            )
        finally:
            problems.close()
            show_usage(scorer.engine.ledger)


def dry_run(logs: tuple[str, ...], options: RunOptions, problems: Problems, *, candidates: int) -> None:
    """Show what a run would cost; ends the command where lines of the logs could not be read."""
    job = score_job(options)
    ledger = estimate_usage(
        open_logs(logs, options, problems),
        prices=prices_of(job.cast.models()),
        metrics=job.weights,
        samples=options.samples,
        window=options.window,
        candidates=candidates,
        goals_per_turn=options.goals_per_turn,
    )
    problems.close()
    show_estimate(ledger)
    finish(problems)


def prices_of(models: Models) -> dict[CallRole, Price | None]:
    return {
        CallRole.ASSISTANT: models.assistant.price,
        CallRole.SIMULATOR: models.simulator.price,
        CallRole.JUDGE: models.judge.price,
        CallRole.GOAL: models.judge.price,
    }


def open_logs(logs: tuple[str, ...], options: RunOptions, problems: Problems) -> Iterator[Conversation]:
    """The conversations, up to the limit; lines that cannot be read are reported and skipped."""
    conversations = read_conversations(logs, format=options.log_format, on_error=problems.report, notes=problems.notes)
    return islice(conversations, options.limit)
