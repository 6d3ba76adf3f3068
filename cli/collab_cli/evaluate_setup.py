"""What an evaluation is made of, from what was asked for: bots, user, judge, tasks and their rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from collab_cli.options import RunOptions
from collab_cli.setup import NO_MODEL
from collab_cli.terminal import Problems, note
from collab_sdk import ChatModel, Conversation, Engine, Simulator, as_chat_model
from collab_sdk.errors import InputError, UsageError
from collab_sdk.evaluation import Evaluator, as_bot
from collab_sdk.metrics.pass_rate import PassRate
from collab_sdk.sandbox import Sandbox, find_isolation
from collab_sdk.tasks import Task, get_task, load_task


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
        bots={spec: as_bot(spec, api_base=options.api_base) for spec in specs},
        simulator=as_chat_model(simulator, api_base=options.api_base),
        judge=as_chat_model(judge, api_base=options.api_base),
    )


def chosen_tasks(
    setting: Setting, parts: Parts, engine: Engine, problems: Problems
) -> Iterator[tuple[Evaluator, tuple[Conversation, ...]]]:
    """The tasks with their rows. Raises UsageError or InputError for one that cannot be had."""
    for task in [get_task(name) for name in dict.fromkeys(setting.tasks)]:
        rows = load_task(task, setting.data, on_error=problems.report)
        conversations = tuple(islice(rows, setting.options.limit))
        if not conversations:
            raise InputError(f"no row of it can be used for the task {task.name}", where=str(setting.data or task.hub))
        evaluator = Evaluator(
            task,
            simulator=Simulator(parts.simulator, engine=engine),
            judge=parts.judge,
            metric=_metric(task, setting),
            exchanges=setting.exchanges,
            samples=setting.options.samples,
        )
        yield evaluator, conversations


def _metric(task: Task, setting: Setting) -> PassRate | None:
    """The task's metric where it needs a sandbox. Raises UsageError if none is to be had."""
    if task.metric != PassRate.name or setting.options.dry_run:
        return None
    if setting.unsafe_exec:
        note("--unsafe-exec: where there is no sandbox, models' code runs unprotected.")
    return PassRate(Sandbox(isolation=find_isolation(unsafe_allowed=setting.unsafe_exec)))
