"""A bot's evaluation in a test: its conversations are played, and intervals decide what is asserted."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from collab_sdk.concurrency import run_sync
from collab_sdk.engine import Engine
from collab_sdk.errors import CollabError, UsageError
from collab_sdk.evaluation import (
    Baseline,
    BotResult,
    Evaluator,
    StatisticCheck,
    bot_statistics,
    changes,
    check_at_least,
    check_names,
    check_not_worse,
    evaluation_row,
    missing_bounds,
    provenance,
    why_undecided,
)
from collab_sdk.files import JsonlWriter
from collab_sdk.models import ModelLike, as_chat_model
from collab_sdk.simulator import Simulator, Users
from collab_sdk.stats import Estimate
from collab_sdk.tasks import Selection, Task, load_task, no_rows, rows_provenance
from collab_sdk.types import Conversation

Rows = str | os.PathLike[str] | Iterable[Conversation]
"""A file that the task reads, or conversations."""


def play(
    bot: ModelLike,
    rows: Rows,
    *,
    model: Users | Simulator,
    judge: ModelLike | None = None,
    task: Task | str = "logs",
    limit: int | None = None,
    exchanges: int | None = None,
    samples: int = 1,
    engine: Engine | None = None,
) -> "BotEvaluation":
    """What a bot's whole conversations with a simulated user are like; `collab evaluate` in a test.

    `rows` are a file that the task reads (chats, by their openings and goals), or conversations. `model` plays the
    user, and judges unless there is a `judge`. An `engine` with a cache pays for each reply once. Raises UsageError or
    InputError for what cannot be played; conversations that fail are missing, and every assertion then fails.
    """
    return run_sync(
        aplay(
            bot,
            rows,
            model=model,
            judge=judge,
            task=task,
            limit=limit,
            exchanges=exchanges,
            samples=samples,
            engine=engine,
        )
    )


async def aplay(
    bot: ModelLike,
    rows: Rows,
    *,
    model: Users | Simulator,
    judge: ModelLike | None = None,
    task: Task | str = "logs",
    limit: int | None = None,
    exchanges: int | None = None,
    samples: int = 1,
    engine: Engine | None = None,
) -> "BotEvaluation":
    """The async twin of `play`, for tests that run in an event loop."""
    evaluator = Evaluator(task, simulator=model, judge=judge, exchanges=exchanges, samples=samples, engine=engine)
    found, selection, named = evaluator.task, Selection(limit=limit), as_chat_model(bot)
    data = Path(rows) if isinstance(rows, str | os.PathLike) else None
    chosen = tuple(selection.of(_loaded(found, rows), found))
    if not chosen:
        raise no_rows(found, data)
    source = replace(found, hub=None) if data is None else found  # conversations from Python are not those of the hub
    known = rows_provenance(source, chosen, data=data, selection=selection)
    ledger = evaluator.engine.ledger
    before = ledger.by_role()
    outcomes = [outcome async for outcome in evaluator.aplay_all(named, chosen)]
    return BotEvaluation(
        result=BotResult.of(named.name, outcomes, ledger.since(before)),
        evaluator=evaluator,
        made_with=provenance(evaluator, {named.name: named}, known),
    )


def _loaded(task: Task, rows: Rows) -> Iterable[Conversation]:
    if not isinstance(rows, str | os.PathLike):
        return rows

    def refuse(error: CollabError) -> None:
        raise error

    return load_task(task, Path(rows), on_error=refuse)


@dataclass(frozen=True, kw_only=True, slots=True)
class BotEvaluation:
    """A bot's conversations, their statistics with 95 % intervals over conversations, and assertions about them."""

    result: BotResult
    evaluator: Evaluator
    made_with: Mapping[str, Any]
    """The provenance."""

    @property
    def statistics(self) -> Mapping[str, Estimate | None]:
        """All that was measured, by name: the task's metric, interactivity, tokens, exchanges, useful questions."""
        return {each.name: each.means[0] for each in bot_statistics([self.result])}

    def __getitem__(self, name: str) -> Estimate:
        """Raises UsageError, listing the statistics, for one that was not measured."""
        statistics = self.statistics
        if (found := statistics.get(name)) is None:
            raise UsageError(f"There is no statistic {name!r}; there is {', '.join(statistics)}.")
        return found

    def assert_at_least(self, **least: float) -> None:
        """Fail if a statistic is below its value by its whole interval, or in too few conversations to tell.

        Spaces of a name are underscores. Raises UsageError for a statistic that these conversations do not have.
        """
        if not least or not all(map(math.isfinite, least.values())):
            raise UsageError("assert_at_least needs a statistic and its least value, such as goal=0.8.")
        metrics = self.evaluator.reward.metrics
        named = {name if name in metrics else name.replace("_", " "): value for name, value in least.items()}
        self._assert_whole()
        check_names(named, metrics, (one.is_ambiguous for one in self.result.played))
        _assert_all(check_at_least(self.result, named))

    def assert_not_worse(self, baseline: str | os.PathLike[str]) -> None:
        """Fail if a metric is below the baseline's by its whole interval, in pairs of conversations that both have.

        The baseline is a file of `write`, or of `collab evaluate -o`. Raises UsageError for one that another user or
        judge made.
        """
        self._assert_whole()
        before = Baseline.of_task(Baseline.read(Path(baseline)), self.evaluator.task.name)
        before.check(self.made_with, exchanges=self.evaluator.exchanges)
        bot, metrics = self.result.name, self.evaluator.reward.metrics
        _assert_all(check_not_worse(bot, changes(self.result, before.of(bot)), metrics))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write all conversations and statistics, as `collab evaluate -o` does: for a report, or as a baseline."""
        evaluator, results = self.evaluator, [self.result]
        missing = missing_bounds(results, samples=evaluator.samples)
        with JsonlWriter(Path(path)) as file:
            file.write(evaluation_row(evaluator, results, bot_statistics(results), missing, made_with=self.made_with))

    def _assert_whole(self) -> None:
        """What is missing is never missing in the bot's favour."""
        if missing := self.result.missing:
            raise AssertionError(
                f"{missing.total()} conversations of {self.result.name} are missing: {next(iter(missing))}"
            )


def _assert_all(checks: Sequence[StatisticCheck]) -> None:
    """Fail if one fails or decides nothing; said in words, as `python -O` drops asserts."""
    said = [f"{each.statistic} is {each.said}" for each in checks if each.failed]
    if said or (said := why_undecided(checks)):
        raise AssertionError("; ".join(said))
