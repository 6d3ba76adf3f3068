"""`collab finetune --role user`: the chats whose users are learnt, and goals for those that have none."""

import os
from collections.abc import Sequence
from dataclasses import replace

import click

from collab_cli.options import Work, declared_names
from collab_cli.progress import Progress, shown
from collab_cli.setup import open_engine
from collab_cli.summary import show_usage
from collab_cli.terminal import note
from collab_cli.units import money, of
from collab_sdk import RunSpec
from collab_sdk.concurrency import all_settled, run_sync
from collab_sdk.cost import GOAL_TOKENS, Bill, template_tokens, tokens_of
from collab_sdk.errors import SampleError, UsageError
from collab_sdk.goals import GoalReader
from collab_sdk.models import CallRole, ChatModel, as_chat_model
from collab_sdk.plugins import load
from collab_sdk.spec import Limits
from collab_sdk.training import TrainingOptions, UserChats, read_user_chats
from collab_sdk.types import Conversation, Goal

UNTAKEN = frozenset(("loss", "evaluate", "beta", "rounds", "sft_first", "sft_learning_rate"))
"""Options of other trainings, which a user's has no use for."""
TAKEN = frozenset(
    (
        *("data", "base", "output", "dry_run", "config", "limit", "cache", "cache_dir", *declared_names(Limits)),
        *(f"{role}{part}" for role in ("model", "judge") for part in ("", "_option")),
        *(f"{prefix}{part}" for prefix in ("", "judge_") for part in ("api_base", "api_key_env")),
        *declared_names(TrainingOptions),
    )
)
GOAL_TO_COME = "What this chat's user wants, in a sentence or two that are still to be inferred from the whole chat."
"""In place of a goal where nobody may be asked, so that a dry run has about the right lengths."""


def check_options() -> None:
    """Raises UsageError for a flag of the command that a training of a user has no use for."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE:
            continue
        if name == "evaluate":
            raise click.UsageError(
                "--evaluate compares bots: leave it out, and compare the user with real ones by collab check-sim LOGS "
                "--simulator plain:hf:BASE@DIR."
            )
        if name in UNTAKEN or name not in TAKEN:
            raise click.UsageError(f"{parameter.opts[0]} is for training an assistant: leave it out with --role user.")


def chats_with_goals(settings: TrainingOptions, spec: RunSpec | None, work: Work) -> UserChats:
    """The chats, those without a goal with one that the judge inferred; on a dry run with a stand-in.

    Raises UsageError where there is nobody to infer them, and before anybody is asked, what the trainer would.
    """
    chats = read_user_chats(settings.data, limit=work.limit)
    missing = chats.without_goal
    if not missing or (spec is None and settings.skip_bad):
        return chats
    if spec is None:
        raise UsageError(
            f"{of(len(missing), 'chat')} of {len(chats.everything):,} say no goal, and a user is learnt with theirs: "
            "give --model to infer them (offline for rules), or --skip-bad to leave these chats out."
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            f"{of(len(missing), 'chat')} have no goal, and each of several processes would infer its own: give chats "
            "with goals, or start without accelerate launch."
        )
    judge = as_chat_model(spec.judge)
    assumed = chats.with_goals({chat.id: Goal(text=GOAL_TO_COME) for chat in missing}, by=judge.name)
    if work.dry_run:
        _note_calls(missing, judge)
        return assumed
    load("trainers", settings.method)(replace(settings, chats=assumed))
    with open_engine(spec, work.cache, {"judge": judge}) as engine:
        reader, progress = GoalReader(judge, engine=engine), Progress(engine.ledger, total=len(missing))
        try:
            with shown(progress):
                goals = run_sync(_ainferred(missing, reader, progress))
        finally:
            show_usage(engine.ledger)
    return chats.with_goals(goals, by=judge.name)


def _note_calls(missing: Sequence[Conversation], judge: ChatModel) -> None:
    bill = Bill({CallRole.GOAL: judge.price})
    for chat in missing:
        bill.add(CallRole.GOAL, calls=1, prompt=template_tokens("goal") + tokens_of(chat.messages), reply=GOAL_TOKENS)
    usage = bill.ledger.total
    note(
        f"Note: {of(len(missing), 'goal')} will be inferred by {judge.name}: {of(usage.calls, 'call')}, about "
        f"{usage.prompt_tokens:,} tokens in and {usage.completion_tokens:,} out, {money(usage)}."
    )


async def _ainferred(
    chats: tuple[Conversation, ...], reader: GoalReader, progress: Progress
) -> dict[str, Goal | SampleError]:
    """By the chats' ids; the error where a model failed. Raises RunStoppedError if the run cannot go on."""
    found: dict[str, Goal | SampleError] = {}
    failed = 0

    async def infer(chat: Conversation) -> None:
        nonlocal failed
        try:
            found[chat.id] = await reader.aread(chat)
        except SampleError as error:
            found[chat.id] = error
            failed += 1
        progress.update(done=len(found), failed=failed, mean_mr=None)

    await all_settled(map(infer, chats))
    return found
