"""An evaluation: which bots on which tasks, one after the other, so that each one's cost is known."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from collab_cli.failures import finish
from collab_cli.options import Work
from collab_cli.progress import Progress, shown
from collab_cli.row_options import Rows
from collab_cli.setup import open_engine, open_runner, prices_of, tools_part
from collab_cli.summary import show_estimate, show_usage
from collab_cli.terminal import Problems, note
from collab_sdk import ChatModel, Conversation, Engine, RunSpec, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.cost import estimate_evaluation
from collab_sdk.engine import Ledger
from collab_sdk.evaluation import BotResult, Episode, Evaluator, provenance
from collab_sdk.jobs import EvaluateJob, roles_of
from collab_sdk.metrics import PassRate
from collab_sdk.runs import Outcome, Runner
from collab_sdk.simulator import HUMAN
from collab_sdk.tasks import get_task


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What an evaluation is asked for."""

    spec: RunSpec
    work: Work
    rows: Rows


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRun:
    """A task with its rows, and what is done with each of them, by bot."""

    evaluator: Evaluator
    conversations: tuple[Conversation, ...]
    rows: Mapping[str, Any]
    """Which rows the conversations are, as provenance."""
    jobs: Mapping[str, EvaluateJob]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One task, done."""

    spec: RunSpec
    evaluator: Evaluator
    rows: Mapping[str, Any]
    bots: Mapping[str, ChatModel]
    results: tuple[BotResult, ...]

    @property
    def made_with(self) -> dict[str, Any]:
        """The provenance of these results."""
        return provenance(self.evaluator, self.bots, self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRun:
    """Bots and rows are known and can be had; nothing has been called yet."""

    spec: RunSpec
    bots: Mapping[str, ChatModel]
    engine: Engine
    runner: Runner
    tasks: tuple[TaskRun, ...]
    problems: Problems
    progress: Progress

    def all(self) -> Iterator[Evaluation]:
        """Task by task. Raises RunStoppedError if the run cannot go on."""
        for task in self.tasks:
            # Not while a table is printed, nor where a person types.
            with nullcontext() if has_person(self.spec) else shown(self.progress):
                results = tuple(self._result(name, task) for name in self.bots)
            yield Evaluation(spec=self.spec, evaluator=task.evaluator, rows=task.rows, bots=self.bots, results=results)

    def made_with(self, task: TaskRun) -> dict[str, Any]:
        """The provenance that the results of a task will have."""
        return provenance(task.evaluator, self.bots, task.rows)

    def _result(self, name: str, task: TaskRun) -> BotResult:
        ledger = self.engine.ledger
        before = ledger.by_role()
        outcomes = run_sync(self._aplay(name, task))
        return BotResult.of(name, outcomes, ledger.since(before))

    async def _aplay(self, name: str, task: TaskRun) -> list[Outcome[tuple[Episode, ...]]]:
        outcomes: list[Outcome[tuple[Episode, ...]]] = []
        async for outcome in self.runner.run(task.jobs[name], task.conversations):
            outcomes.append(outcome)
            if outcome.error is not None:
                self.problems.report(f"{name}, {outcome.conversation.id}: {outcome.error}")
            for one in outcome.value or ():
                if one.is_missing:
                    self.problems.report(f"{name}, {one.conversation_id}: {one.future.error}")
            self.progress.update(
                done=self.progress.done + 1, failed=self.progress.failed + (outcome.error is not None), mean_mr=None
            )
        return outcomes


@contextmanager
def evaluating(asked: Asked, problems: Problems) -> Iterator[EvaluationRun]:
    """Set an evaluation up; whatever ends it, what it cost is shown. Bad input is met here, before any call."""
    spec, cache = asked.spec, asked.work.cache
    bots = {bot.name: as_chat_model(bot) for bot in spec.assistants}
    roles = roles_of(spec)
    named = bots if len(bots) > 1 else {"bot": roles.assistant}
    with ExitStack() as opened:
        parts = {**named, **roles.simulator.models, "judge": roles.judge, **tools_part(spec, roles)}
        engine = opened.enter_context(open_engine(spec, cache, parts))
        tasks = tuple(chosen_tasks(asked, engine, problems))
        runner = opened.enter_context(open_runner(spec, cache, engine))  # it may take seconds
        progress = Progress(engine.ledger, total=len(bots) * sum(len(task.conversations) for task in tasks))
        try:
            yield EvaluationRun(
                spec=spec,
                bots=bots,
                engine=engine,
                runner=runner,
                tasks=tasks,
                problems=problems,
                progress=progress,
            )
        finally:
            problems.close()
            show_usage(engine.ledger)


def dry_run(asked: Asked, problems: Problems) -> None:
    """Show what an evaluation would cost; ends the command where rows could not be read."""
    spec, ledger = asked.spec, Ledger()
    prices = prices_of(roles_of(spec))
    bots = [as_chat_model(bot).price for bot in spec.assistants]
    for task in chosen_tasks(asked, Engine(cache=None), problems):
        estimated = estimate_evaluation(task.conversations, spec, task.evaluator.task, prices, bots=bots)
        for role, usage in estimated.roles.items():
            ledger.roles[role] = ledger.of(role) + usage
    problems.close()
    show_estimate(ledger)
    finish(problems, results=ledger.total.calls)


def chosen_tasks(asked: Asked, engine: Engine, problems: Problems) -> Iterator[TaskRun]:
    """The tasks with their rows. Raises UsageError or InputError for one that cannot be had."""
    spec, work = asked.spec, asked.work
    for name, task in [(name, get_task(name)) for name in spec.evaluation.tasks]:
        conversations = tuple(asked.rows.of(task, problems))
        if spec.evaluation.unsafe_exec and task.metric == PassRate.name and not work.dry_run:
            note("--unsafe-exec: where there is no sandbox, models' code runs unprotected.")
        jobs = {bot.name: EvaluateJob(spec=spec.with_assistant(bot), task=name) for bot in spec.assistants}
        evaluator = next(iter(jobs.values())).evaluator(engine, estimating=work.dry_run)
        rows = asked.rows.provenance(task, conversations)
        yield TaskRun(evaluator=evaluator, conversations=conversations, rows=rows, jobs=jobs)


def has_person(spec: RunSpec) -> bool:
    """Whether a person plays the user, at this terminal."""
    return any(user.name == HUMAN for user in spec.simulators)
