"""What an evaluation is made of, from what was asked for: bots, user, judge, tasks and their rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from collab_cli.options import RunOptions
from collab_cli.setup import NO_MODEL
from collab_cli.terminal import Problems, note
from collab_sdk import ChatModel, Conversation, Engine, as_chat_model
from collab_sdk.errors import InputError, UsageError
from collab_sdk.evaluation import Evaluator, as_bot
from collab_sdk.jobs import Cast, EvaluateJob
from collab_sdk.metrics import PassRate
from collab_sdk.tasks import get_task, load_task


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What was asked for."""

    bots: tuple[str, ...]
    tasks: tuple[str, ...]
    data: Path | None
    exchanges: int | None
    unsafe_exec: bool
    options: RunOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Who plays."""

    cast: Cast
    """With the first bot."""
    bots: Mapping[str, ChatModel]
    simulator: ChatModel
    judge: ChatModel

    @property
    def by_role(self) -> dict[str, ChatModel]:
        bots = self.bots if len(self.bots) > 1 else dict(zip(["bot"], self.bots.values(), strict=True))
        return {**bots, "user": self.simulator, "judge": self.judge}


def chosen_parts(setting: Setting) -> Parts:
    """Raises UsageError where a part has no model, and for a bot that is none."""
    options = setting.options
    specs = setting.bots or ((options.model,) if options.model else ())
    simulator = options.simulator or options.model
    judge = options.judge or options.model or simulator
    if not specs and not simulator:
        raise UsageError(NO_MODEL)
    if not specs:
        raise UsageError("The bot is not named: give --assistant, or --model for all parts.")
    if not simulator or not judge:
        raise UsageError("The bot has no user to talk to: give --simulator, or --model for all other parts.")
    if repeated := [spec for spec in specs if specs.count(spec) > 1]:
        raise UsageError(f"The bot {repeated[0]!r} is given twice.")
    return Parts(
        cast=Cast(assistant=specs[0], simulator=simulator, judge=judge, api_base=options.api_base),
        bots={spec: as_bot(spec, api_base=options.api_base) for spec in specs},
        simulator=as_chat_model(simulator, api_base=options.api_base),
        judge=as_chat_model(judge, api_base=options.api_base),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRun:
    """A task with its rows, and what is done with each of them, by bot."""

    evaluator: Evaluator
    conversations: tuple[Conversation, ...]
    jobs: Mapping[str, EvaluateJob]


def chosen_tasks(setting: Setting, parts: Parts, engine: Engine, problems: Problems) -> Iterator[TaskRun]:
    """The tasks with their rows. Raises UsageError or InputError for one that cannot be had."""
    options = setting.options
    for task in [get_task(name) for name in dict.fromkeys(setting.tasks)]:
        rows = load_task(task, setting.data, on_error=problems.report)
        conversations = tuple(islice(rows, options.limit))
        if not conversations:
            raise InputError(f"no row of it can be used for the task {task.name}", where=str(setting.data or task.hub))
        if setting.unsafe_exec and task.metric == PassRate.name and not options.dry_run:
            note("--unsafe-exec: where there is no sandbox, models' code runs unprotected.")
        jobs = {bot: _job(setting, parts, bot, task.name) for bot in parts.bots}
        evaluator = next(iter(jobs.values())).evaluator(engine, estimating=options.dry_run)
        yield TaskRun(evaluator=evaluator, conversations=conversations, jobs=jobs)


def _job(setting: Setting, parts: Parts, bot: str, task: str) -> EvaluateJob:
    return EvaluateJob(
        cast=replace(parts.cast, assistant=bot),
        task=task,
        exchanges=setting.exchanges,
        samples=setting.options.samples,
        unsafe_exec=setting.unsafe_exec,
    )
