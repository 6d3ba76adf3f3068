"""`collab finetune --evaluate`: did it help, on chats that it was not trained on?"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from collab_cli.options import Work
from collab_cli.setup import open_scorer
from collab_cli.summary import show_usage
from collab_cli.terminal import Problems, note, show
from collab_sdk import Conversation, RunSpec, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import UsageError
from collab_sdk.evaluation import Comparison, PairedStatistic, acompare_bots, mr_bounds
from collab_sdk.files import JsonlWriter
from collab_sdk.jobs import roles_of
from collab_sdk.logs import log_files
from collab_sdk.preferences import whole_of
from collab_sdk.stats import BRACKETS, said_of_many
from collab_sdk.training import Preflight, TrainingOptions

SCHEMA = "collab/comparison/v1"
FILE = "comparison.jsonl"
WIDTH = 100
"""Columns that the table needs; a narrower terminal wraps it rather than losing a number."""
UNITS = {"MR": ".3f", "tokens": ".1f"}
"""How a statistic is written; the others are shares."""


def check_gain(logs: tuple[Path, ...], spec: RunSpec | None) -> None:
    """Raises CollabError for logs that cannot be read or a user that nobody plays: before hours of training."""
    log_files(logs)
    if spec is None:
        raise UsageError("--evaluate needs a user to talk to: give --simulator, or --model for user and judge.")
    roles_of(spec)


def show_gain(
    logs: tuple[Path, ...],
    training: TrainingOptions,
    spec: RunSpec,
    work: Work,
    *,
    bot: str,
    preflight: Preflight,
    problems: Problems,
) -> bool:
    """Compare base and trained `bot` on every turn of the chats it was not trained on; whether all could be compared.

    The comparison is written to the output, too.
    """
    with open_scorer(spec, work.cache) as scorer:
        held_out = islice(_held_out(logs, preflight, problems), work.limit)
        try:
            comparison = run_sync(acompare_bots(held_out, spec.assistant, bot, scorer))
        finally:
            problems.close()
            show_usage(scorer.engine.ledger)
    if not comparison.turns and not comparison.failed:
        problem = "every chat was trained on, or begins as one that was; give others to --evaluate"
        problems.report(f"{', '.join(map(str, logs))}: {problem}")
        return False
    _write(comparison, training.output / FILE)
    show_comparison(comparison)
    return not comparison.failed


def _held_out(logs: tuple[Path, ...], preflight: Preflight, problems: Problems) -> Iterator[Conversation]:
    for conversation in read_conversations(logs, on_error=problems.report, notes=problems.notes):
        if _was_trained_on(conversation, preflight):
            problems.notes["chats that were trained on, or begin as one that was, left out"] += 1
        else:
            yield conversation


def _was_trained_on(conversation: Conversation, preflight: Preflight) -> bool:
    """By its id, or by how it begins: some formats of pairs have no ids, and some chats have several."""
    said = [message.content for message in conversation.messages if message.role == "user"]
    begins = (whole_of(said[:turns]) for turns in range(1, len(said) + 1))
    return conversation.id in preflight.trained_on or not preflight.openings.isdisjoint(begins)


def _write(comparison: Comparison, path: Path) -> None:
    with JsonlWriter(path) as file:
        for statistic in comparison.statistics:
            estimates = {part: getattr(statistic, part).to_dict() for part in ("before", "after", "difference")}
            bots = {"before_bot": comparison.before, "after_bot": comparison.after}
            file.write({"schema": SCHEMA, **bots, "name": statistic.name, **estimates})


def show_comparison(comparison: Comparison) -> None:
    """The statistics with their intervals, and on stderr what is missing from them."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("before", "after", "difference"):
        table.add_column(name, no_wrap=True)
    table.add_column("turns", justify="right", no_wrap=True)
    statistics = comparison.statistics
    for statistic in statistics:
        table.add_row(*_cells(statistic))
    if table.row_count:
        show(table, at_least=WIDTH)
    else:
        note("Nothing could be compared.")
    note(f"before: {comparison.before}; after: {comparison.after}. {BRACKETS}")
    figures = (each for statistic in statistics for each in (statistic.before, statistic.after, statistic.difference))
    if many := said_of_many(figures):
        note(many)
    for problem in comparison.failed:
        note(f"Failed: {problem}")
    for reason, count in comparison.lost.most_common(3):
        note(f"{count:>7,} missing: {reason}")
    if (found := mr_bounds(comparison)) is not None:
        low, high = found.differences[0]
        note(f"With what is missing, each as the lowest or highest seen, MR differs by {low:+.2f} to {high:+.2f}.")


def _cells(statistic: PairedStatistic) -> list[str]:
    form = UNITS.get(statistic.name, ".0%")
    before, after, difference = (
        f"{statistic.before:{form}}",
        f"{statistic.after:{form}}",
        f"{statistic.difference:+{form}}",
    )
    return [statistic.name, before, after, difference, str(statistic.before.n)]
