"""A bot's figures in a test: its conversations are played, and intervals decide what is asserted."""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collab_sdk.concurrency import run_sync
from collab_sdk.engine import Engine
from collab_sdk.errors import CollabError, UsageError
from collab_sdk.evaluation import (
    Baseline,
    BotResult,
    Evaluator,
    bot_statistics,
    changes,
    evaluation_row,
    gated,
    is_below,
    missing_bounds,
)
from collab_sdk.files import JsonlWriter
from collab_sdk.models import ChatModel, ModelLike, as_chat_model, spec_of
from collab_sdk.simulator import Simulator, Users
from collab_sdk.spec import ROLE_DEFAULTS, EvaluationSpec, RunSpec, made_with
from collab_sdk.stats import Estimate
from collab_sdk.tasks import Selection, Task, get_task, load_task, no_rows
from collab_sdk.types import Conversation

TOO_FEW = "too few conversations to tell; 20 are enough for any figure"


def play(
    bot: ModelLike,
    rows: str | os.PathLike[str] | Iterable[Conversation],
    *,
    model: Users | Simulator,
    judge: ModelLike | None = None,
    task: Task | str = "logs",
    limit: int | None = None,
    exchanges: int | None = None,
    samples: int = 1,
    engine: Engine | None = None,
) -> "BotFigures":
    """What a bot's whole conversations with a simulated user are like; `collab evaluate` in a test.

    `rows` are a file that the task reads (chats, by their openings and goals), or conversations. `model` plays the
    user, and judges unless there is a `judge`. An `engine` with a cache pays for each reply once. Raises UsageError or
    InputError for what cannot be played; conversations that fail are missing, and every assertion then fails.
    """
    found = get_task(task) if isinstance(task, str) else task
    evaluator = Evaluator(found, simulator=model, judge=judge, exchanges=exchanges, samples=samples, engine=engine)
    chosen = tuple(Selection(limit=limit).of(_rows(found, rows), found))
    if not chosen:
        raise no_rows(found, Path(rows) if isinstance(rows, str | os.PathLike) else None)
    named = as_chat_model(bot)
    result = run_sync(_aplay(evaluator, named, chosen))
    return BotFigures(result=result, evaluator=evaluator, made_with=_made_with(evaluator, named))


def _rows(task: Task, rows: str | os.PathLike[str] | Iterable[Conversation]) -> Iterable[Conversation]:
    if not isinstance(rows, str | os.PathLike):
        return rows

    def refuse(error: CollabError) -> None:
        raise error

    return load_task(task, Path(rows), on_error=refuse)


def _made_with(evaluator: Evaluator, bot: ChatModel) -> dict[str, Any]:
    judge, toolbox = evaluator.judge, evaluator.toolbox
    spec = RunSpec(
        assistants=(spec_of(bot, ROLE_DEFAULTS["assistant"]),),
        simulators=evaluator.simulator.specs,
        personas=evaluator.simulator.personas,
        judge=spec_of(judge.model, judge.settings),
        samples=evaluator.samples,
        tools=toolbox.names,
        calls_per_turn=evaluator.calls_per_turn,
        evaluation=EvaluationSpec(tasks=(evaluator.task.name,), exchanges=evaluator.exchanges),
    )
    known = {bot.name: bot.fingerprint, "judge": judge.model.fingerprint} | evaluator.simulator.fingerprints
    return made_with(spec, known, codes=toolbox.codes)


async def _aplay(evaluator: Evaluator, bot: ChatModel, rows: Iterable[Conversation]) -> BotResult:
    outcomes = [outcome async for outcome in evaluator.aplay_all(bot, rows)]
    return BotResult(
        name=bot.name,
        played=tuple(one for outcome in outcomes for one in outcome.value or ()),
        failed={each.conversation.id: str(each.error) for each in outcomes if each.error is not None},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BotFigures:
    """The figures of a bot, by name, with 95 % intervals over conversations, and assertions about them."""

    result: BotResult
    evaluator: Evaluator
    made_with: Mapping[str, Any]
    """The provenance."""

    @property
    def figures(self) -> Mapping[str, Estimate | None]:
        """All that was measured, by name: the task's metric, interactivity, tokens, exchanges, useful questions."""
        return {each.name: each.means[0] for each in bot_statistics([self.result])}

    def __getitem__(self, name: str) -> Estimate:
        """Raises UsageError, listing the figures, for one that was not measured."""
        figures = self.figures
        if (found := figures.get(name)) is None:
            raise UsageError(f"There is no figure {name!r}; there is {', '.join(figures)}.")
        return found

    def assert_at_least(self, **least: float) -> None:
        """Fail if a figure is below its value by its whole interval, or if there are too few conversations to tell."""
        if not least or any(math.isnan(value) for value in least.values()):
            raise UsageError("assert_at_least needs a figure and its least value, such as goal=0.8.")
        self._assert_whole()
        for name, value in least.items():
            found = self[name.replace("_", " ") if name not in self.figures else name]
            _refuse(is_below(found, value), f"{name} is {found:.3f}", f", below {value:g}")

    def assert_not_worse(self, baseline: str | os.PathLike[str]) -> None:
        """Fail if a metric is below the baseline's by its whole interval, in pairs of conversations that both have.

        The baseline is a file of `write`, or of `collab evaluate -o`. Raises UsageError for one that another user or
        judge made.
        """
        self._assert_whole()
        task = self.evaluator.task.name
        found = Baseline.read(Path(baseline))
        if task not in found:
            raise UsageError(f"{baseline} has no evaluation of {task}; it has {', '.join(found)}.")
        found[task].check(self.made_with, exchanges=self.evaluator.exchanges)
        names = gated(self.evaluator.reward.metrics)
        for each in changes(self.result, found[task].of(self.result.name)):
            if each.name in names:
                said = "not measured in both" if each.change is None else f"{each.change:+.3f}"
                _refuse(is_below(each.change), f"{each.name} is {said} since the baseline")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write all conversations and figures, as `collab evaluate -o` does: for a report, or as a baseline."""
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


def _refuse(below: bool | None, said: str, more: str = "") -> None:
    """Fail if a figure is below what it may be, or if nobody can tell; said in words, as `python -O` drops asserts."""
    if below is None:
        raise AssertionError(f"{said}: {TOO_FEW}")
    if below:
        raise AssertionError(f"{said}{more}")
