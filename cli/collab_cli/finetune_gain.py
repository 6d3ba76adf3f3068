"""`collab finetune --evaluate`: did it help, on chats that it was not trained on?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from collab_cli.options import Work
from collab_cli.progress import Progress, shown
from collab_cli.setup import open_scorer
from collab_cli.summary import show_usage
from collab_cli.terminal import Problems, StatisticsTable, note
from collab_cli.units import of
from collab_sdk import Conversation, ModelSpec, RunSpec, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import InputError, UsageError
from collab_sdk.evaluation import Comparison, PairedStatistic, acompare_bots, mr_bounds
from collab_sdk.files import JsonlWriter
from collab_sdk.jobs import roles_of
from collab_sdk.logs import log_files
from collab_sdk.preferences import whole_of
from collab_sdk.spec import ROLE_DEFAULTS
from collab_sdk.stats import BRACKETS, said_of_many
from collab_sdk.training import Preflight, TrainingOptions

SCHEMA = "collab/comparison/v1"
FILE = "comparison.jsonl"
UNITS = {"MR": ".3f", "tokens": ".1f"}
"""How a statistic is written; the others are shares."""


def check_gain(logs: tuple[Path, ...], spec: RunSpec | None) -> None:
    """Raises CollabError for logs that cannot be read or a user that nobody plays: before hours of training."""
    log_files(logs)
    if spec is None:
        raise UsageError("--evaluate needs a user to talk to: give --simulator, or --model for user and judge.")
    roles_of(spec)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedGain:
    """The comparison that is to follow a training: how much of the logs it takes, and what is played for it."""

    logs: tuple[Path, ...]
    spec: RunSpec
    preflight: Preflight
    chats: int
    turns: int

    @classmethod
    def of(cls, logs: tuple[Path, ...], spec: RunSpec, work: Work, preflight: Preflight) -> "PlannedGain":
        """Raises InputError where there is nothing to compare."""
        unread = Problems(shows=False)  # they are reported when the chats are played
        turns = [len(list(chat.turns())) for chat in islice(_held_out(logs, preflight, unread), work.limit)]
        names = ", ".join(map(str, logs))
        if not turns and not unread.count:
            raise InputError(
                "every chat was trained on, or begins as one that was; give others to --evaluate", where=names
            )
        if not any(turns):
            raise InputError(
                "no chat could be read that has a reply to compare with; give others to --evaluate", where=names
            )
        return cls(logs=logs, spec=spec, preflight=preflight, chats=len(turns), turns=sum(turns))

    def note(self, work: Work) -> None:
        """Say what it will take, before hours of training."""
        replies = self.turns * (1 + (self.spec.samples * self.spec.window if self.spec.window else 0))
        bound = "" if work.limit else " --limit N takes fewer chats."
        note(
            f"Note: to be compared, base and adapter then answer {of(self.turns, 'turn')} of {of(self.chats, 'chat')}: "
            f"up to {replies:,} replies each, of {self.preflight.reply_tokens:,} tokens at most.{bound}"
        )

    @property
    def base(self) -> ModelSpec:
        """The base, whose replies end where those of the training would have long ended."""
        asked = self.spec.assistant.settings or ROLE_DEFAULTS["assistant"]
        settings = replace(asked, max_tokens=asked.max_tokens or self.preflight.reply_tokens)
        return replace(self.spec.assistant, settings=settings)


def show_gain(planned: PlannedGain, training: TrainingOptions, work: Work, *, bot: str, problems: Problems) -> bool:
    """Compare base and trained `bot` on every turn of the chats it was not trained on; whether all could be compared.

    The comparison is written to the output, too.
    """
    with open_scorer(planned.spec.with_assistant(planned.base), work.cache) as scorer:
        held_out = islice(_held_out(planned.logs, planned.preflight, problems), work.limit)
        progress = Progress(scorer.engine.ledger, total=planned.turns)
        try:
            with shown(progress):
                comparison = run_sync(
                    acompare_bots(
                        held_out,
                        planned.base,
                        replace(planned.base, name=bot),
                        scorer,
                        on_progress=lambda done, failed: progress.update(done=done, failed=failed, mean_mr=None),
                    )
                )
        finally:
            problems.close()
            show_usage(scorer.engine.ledger)
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
    statistics = comparison.statistics
    if statistics:
        head = ("", "before", "after", "difference", "turns")
        StatisticsTable(head=head, rows=list(map(_cells, statistics)), right=frozenset({"turns"})).show()
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
        note(
            "If every missing response had the lowest, or the highest, value seen, MR would differ by "
            f"{low:+.2f} to {high:+.2f}."
        )


def _cells(statistic: PairedStatistic) -> list[str]:
    form = UNITS.get(statistic.name, ".0%")
    before, after, difference = (
        f"{statistic.before:{form}}",
        f"{statistic.after:{form}}",
        f"{statistic.difference:+{form}}",
    )
    return [statistic.name, before, after, difference, str(statistic.before.n)]
