"""A run over logged chats: where they come from, who scores them, how far it is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collab_cli.failures import finish, no_result
from collab_cli.options import Work
from collab_cli.progress import Progress
from collab_cli.setup import open_runner, open_scorer, prices_of
from collab_cli.summary import show_estimate, show_usage
from collab_cli.terminal import Problems, note
from collab_sdk import Conversation, MRScorer, RunSpec, read_conversations
from collab_sdk.cost import estimate_scoring
from collab_sdk.engine import Ledger
from collab_sdk.jobs import roles_of
from collab_sdk.logs import count_conversations, log_files
from collab_sdk.runs import Runner
from collab_sdk.tools import with_tools

LOOKED_AT = 1_000
"""Conversations that tools are inferred from where no more than fewer are run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    spec: RunSpec
    scorer: MRScorer
    runner: Runner
    conversations: Iterator[Conversation]
    progress: Progress


@contextmanager
def running(logs: tuple[str, ...], spec: RunSpec, work: Work, problems: Problems) -> Iterator[Run]:
    """Set a run up; whatever ends it, what it cost is shown."""
    with ExitStack() as opened:
        scorer = opened.enter_context(open_scorer(spec, work.cache))
        conversations = open_logs(logs, spec, work, problems)
        count = count_conversations(logs, format=work.log_format, limit=work.limit)
        runner = opened.enter_context(open_runner(spec, work.cache, scorer.engine))  # it may take seconds
        totals = [total for total in (count, work.limit) if total is not None]
        progress = Progress(scorer.engine.ledger, total=min(totals, default=None))
        try:
            yield Run(spec=spec, scorer=scorer, runner=runner, conversations=conversations, progress=progress)
        finally:
            problems.close()
            show_usage(scorer.engine.ledger)


def dry_run(logs: tuple[str, ...], spec: RunSpec, work: Work, problems: Problems, *, with_pairs: bool = False) -> None:
    """Show what a run would cost; ends the command where lines of the logs could not be read."""
    prices = prices_of(roles_of(spec))
    ledger = estimate_scoring(open_logs(logs, spec, work, problems), spec, prices, with_pairs=with_pairs)
    end_dry_run(ledger, logs, problems, by_need=with_pairs and not spec.pairs.plays_all)


def end_dry_run(ledger: Ledger, logs: tuple[str, ...], problems: Problems, *, by_need: bool = False) -> None:
    """Show an estimate, or say that there is nothing to estimate."""
    problems.close()
    if not ledger.total.calls:
        no_result(f"there is nothing to score in {named(logs)}")
    show_estimate(ledger, by_need=by_need)
    finish(problems, results=ledger.total.calls)


def named(logs: tuple[str, ...]) -> str:
    return ", ".join("stdin" if log == "-" else log for log in logs)


def open_logs(logs: tuple[str, ...], spec: RunSpec, work: Work, problems: Problems) -> Iterator[Conversation]:
    """The conversations, up to the limit; lines that cannot be read are reported and skipped.

    Those with calls whose row names no tools get the ones that are inferred from all calls in the logs; with a limit,
    from those of the first `LOOKED_AT` conversations.
    """
    limited = read_conversations(
        logs, format=work.log_format, limit=work.limit, on_error=problems.report, notes=problems.notes
    )
    if all("py:" in name for name in spec.tools):
        return limited
    is_read_once = not all(Path(file).is_file() for file in log_files(logs))

    def again() -> Iterator[Conversation]:
        if is_read_once:
            return iter(())
        most = None if work.limit is None else max(work.limit, LOOKED_AT)
        return read_conversations(logs, format=work.log_format, limit=most, on_error=lambda _: None)

    def say(tools: Sequence[Mapping[str, Any]]) -> None:
        if is_read_once:
            note("tools: inferred from the calls of each chat alone, since a pipe can be read only once")
        else:
            note(f"tools: inferred {len(tools):,} from calls in {named(logs)}, since its rows name none")

    return with_tools(limited, again=again, on_inferred=say)
