"""An evaluation: which bots on which tasks, one after the other, so that each one's money is known."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace

from collab_cli.evaluate_setup import Parts, Setting, TaskRun, chosen_parts, chosen_tasks
from collab_cli.failures import finish
from collab_cli.progress import Progress, shown
from collab_cli.setup import open_engine, open_runner
from collab_cli.summary import show_estimate, show_usage
from collab_cli.terminal import Problems
from collab_sdk import Engine
from collab_sdk.engine import Ledger, Usage, run_sync
from collab_sdk.evaluation import BotResult, Episode, Evaluator, estimate_evaluation
from collab_sdk.models import CallRole
from collab_sdk.runs import Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One task, done."""

    evaluator: Evaluator
    results: tuple[BotResult, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRun:
    """Bots and rows are known and could be had; nothing has been called yet."""

    parts: Parts
    engine: Engine
    runner: Runner
    tasks: tuple[TaskRun, ...]
    problems: Problems
    progress: Progress

    def all(self) -> Iterator[Evaluation]:
        """Task by task. Raises RunStoppedError if the run cannot go on."""
        for task in self.tasks:
            with shown(self.progress):  # and not while a table is printed
                results = tuple(self._result(name, task) for name in self.parts.bots)
            yield Evaluation(evaluator=task.evaluator, results=results)

    def _result(self, name: str, task: TaskRun) -> BotResult:
        before = {role: replace(usage) for role, usage in self.engine.ledger.by_role().items()}
        played, failed = run_sync(self._aplay(name, task))
        after = self.engine.ledger.by_role()
        by_role = {role: _less(usage, before.get(role, Usage())) for role, usage in after.items()}
        total = sum(by_role.values(), Usage())
        return BotResult(name=name, played=played, usage=total, usage_by_role=by_role, failed=failed)

    async def _aplay(self, name: str, task: TaskRun) -> tuple[tuple[Episode, ...], dict[str, str]]:
        played: list[Episode] = []
        failed: dict[str, str] = {}
        async for outcome in self.runner.run(task.jobs[name], task.conversations):
            if outcome.error is not None:
                failed[outcome.conversation.id] = str(outcome.error)
                self.problems.report(f"{name}, {outcome.conversation.id}: {outcome.error}")
            for one in outcome.value or ():
                played.append(one)
                if one.is_missing:
                    self.problems.report(f"{name}, {one.conversation_id}: {one.future.error}")
            self.progress.update(done=self.progress.done + 1, failed=self.problems.count, mean_mr=None)
        return tuple(played), failed


@contextmanager
def evaluating(setting: Setting, problems: Problems) -> Iterator[EvaluationRun]:
    """Set an evaluation up; whatever ends it, what it cost is shown. Bad input is met here, before any call."""
    parts = chosen_parts(setting)
    with ExitStack() as opened:
        engine = opened.enter_context(open_engine(setting.options, parts.by_role))
        tasks = tuple(chosen_tasks(setting, parts, engine, problems))
        runner = opened.enter_context(open_runner(setting.options, engine))  # it may take seconds
        total = len(parts.bots) * sum(len(task.conversations) for task in tasks)
        progress = Progress(engine.ledger, total=total)
        try:
            yield EvaluationRun(
                parts=parts, engine=engine, runner=runner, tasks=tasks, problems=problems, progress=progress
            )
        finally:
            problems.close()
            show_usage(engine.ledger)


def dry_run(setting: Setting, problems: Problems) -> None:
    """Show what an evaluation would cost; ends the command where rows could not be read."""
    parts, ledger = chosen_parts(setting), Ledger()
    prices = {
        CallRole.SIMULATOR: parts.simulator.price,
        CallRole.JUDGE: parts.judge.price,
        CallRole.GOAL: parts.judge.price,
    }
    bots = [bot.price for bot in parts.bots.values()]
    for task in chosen_tasks(setting, parts, Engine(cache=None), problems):
        estimated = estimate_evaluation(task.conversations, task.evaluator, bots, prices=prices)
        for role, usage in estimated.roles.items():
            ledger.roles[role] = ledger.of(role) + usage
    problems.close()
    show_estimate(ledger)
    finish(problems)


def _less(after: Usage, before: Usage) -> Usage:
    return Usage(**{field.name: getattr(after, field.name) - getattr(before, field.name) for field in fields(Usage)})
