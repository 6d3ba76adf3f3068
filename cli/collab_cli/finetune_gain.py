"""`collab finetune --evaluate`: did it help, on chats that it was not trained on?"""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from collab_cli.comparison_output import show_comparison
from collab_cli.options import NO_MODEL, Work
from collab_cli.setup import open_scorer
from collab_cli.summary import show_usage
from collab_cli.terminal import Problems
from collab_sdk import Conversation, RunSpec, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import InputError, UsageError
from collab_sdk.evaluation import Comparison, acompare_bots
from collab_sdk.files import JsonlWriter
from collab_sdk.jobs import roles_of
from collab_sdk.logs import log_files
from collab_sdk.training import TrainingOptions, opening

SCHEMA = "collab/comparison/v1"
FILE = "comparison.jsonl"


def check_gain(logs: tuple[Path, ...], spec: RunSpec | None) -> None:
    """Raises CollabError for logs that cannot be read or a user that nobody plays: before hours of training."""
    log_files(logs)
    if spec is None:
        raise UsageError(NO_MODEL)
    roles_of(spec)


def show_gain(
    logs: tuple[Path, ...],
    training: TrainingOptions,
    spec: RunSpec,
    work: Work,
    *,
    bot: str,
    trained_on: frozenset[str],
    problems: Problems,
) -> None:
    """Base and trained `bot` on every turn of the chats that are not among `trained_on`; written to the output, too."""
    with open_scorer(spec, work.cache) as scorer:
        held_out = islice(_held_out(logs, trained_on, problems), work.limit)
        try:
            comparison = run_sync(acompare_bots(held_out, spec.assistant, bot, scorer))
        finally:
            problems.close()
            show_usage(scorer.engine.ledger)
    if not comparison.turns and not comparison.failed:
        raise InputError("every chat in it was trained on; give others to --evaluate", where=", ".join(map(str, logs)))
    _write(comparison, training.output / FILE)
    show_comparison(comparison)


def _held_out(logs: tuple[Path, ...], trained_on: frozenset[str], problems: Problems) -> Iterator[Conversation]:
    conversations = read_conversations(logs, on_error=problems.report, notes=problems.notes)
    return (conversation for conversation in conversations if trained_on.isdisjoint(_names(conversation)))


def _names(conversation: Conversation) -> tuple[str, str]:
    """Both that a conversation may have among those that were trained on: some formats have no room for ids."""
    return conversation.id, opening(message.to_dict() for message in conversation.messages)


def _write(comparison: Comparison, path: Path) -> None:
    with JsonlWriter(path) as file:
        for statistic in comparison.statistics:
            row = {"before_bot": comparison.before, "after_bot": comparison.after, **asdict(statistic)}
            file.write({"schema": SCHEMA, **row})
