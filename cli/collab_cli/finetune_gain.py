"""`collab finetune --evaluate`: did it help, on chats that it was not trained on?"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

from collab_cli.comparison_output import show_comparison
from collab_cli.options import RunOptions
from collab_cli.setup import chosen_models, open_scorer
from collab_cli.summary import show_usage
from collab_cli.terminal import Problems
from collab_sdk import Conversation, read_conversations
from collab_sdk.engine import run_sync
from collab_sdk.errors import InputError
from collab_sdk.evaluation import Comparison, acompare_bots
from collab_sdk.logs import JsonlWriter, log_files
from collab_sdk.training import TrainingOptions, opening

SCHEMA = "collab/comparison/v1"
FILE = "comparison.jsonl"


def check_gain(logs: tuple[Path, ...], training: TrainingOptions, options: RunOptions) -> None:
    """Raises CollabError for logs that cannot be read or a user that nobody plays: before hours of training."""
    log_files(logs)
    chosen_models(with_base(training, options))


def show_gain(
    logs: tuple[Path, ...],
    training: TrainingOptions,
    options: RunOptions,
    *,
    bot: str,
    trained_on: frozenset[str],
    problems: Problems,
) -> None:
    """Base and trained `bot` on every turn of the chats that are not among `trained_on`; written to the output, too."""
    base = f"hf:{training.base}"
    with open_scorer(with_base(training, options)) as scorer:
        held_out = islice(_held_out(logs, trained_on, problems), options.limit)
        try:
            comparison = run_sync(acompare_bots(held_out, base, bot, scorer))
        finally:
            problems.close()
            show_usage(scorer.engine.ledger)
    if not comparison.turns and not comparison.failed:
        raise InputError("every chat in it was trained on; give others to --evaluate", where=", ".join(map(str, logs)))
    _write(comparison, training.output / FILE)
    show_comparison(comparison)


def with_base(training: TrainingOptions, options: RunOptions) -> RunOptions:
    return replace(options, assistant=f"hf:{training.base}")


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
