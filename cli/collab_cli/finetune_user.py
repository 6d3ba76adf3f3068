"""`collab finetune --role user`: the chats whose users are learnt, and goals for those that have none."""

import os
from dataclasses import replace

import click

from collab_cli.options import Work
from collab_cli.progress import Progress, shown
from collab_cli.setup import open_engine
from collab_cli.summary import show_usage
from collab_cli.terminal import note
from collab_cli.units import money, of
from collab_sdk import RunSpec
from collab_sdk.concurrency import run_sync
from collab_sdk.cost import estimate_goals
from collab_sdk.errors import UsageError
from collab_sdk.goals import GoalReader
from collab_sdk.models import as_chat_model
from collab_sdk.plugins import load
from collab_sdk.training import TrainingOptions, UserChats, read_user_chats

OF_ASSISTANTS = frozenset(("loss", "evaluate", "beta", "rounds", "sft_first", "sft_learning_rate"))
"""Options of a training that has no use for them where a user is learnt."""


def check_options(played: frozenset[str]) -> None:
    """Raises UsageError for an option, from a flag or a file, that a training of a user has no use for.

    `played` are the names of those that decide how conversations are played.
    """
    context = click.get_current_context()
    given = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.DEFAULT_MAP)
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in OF_ASSISTANTS | played or context.get_parameter_source(name) not in given:
            continue
        if name == "evaluate":
            raise click.UsageError(
                "--evaluate compares bots: leave it out, and compare the user with real ones by collab check-sim LOGS "
                "--simulator plain:hf:BASE@DIR."
            )
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
    assumed = chats.with_stand_ins(by=judge.name)
    if work.dry_run:
        usage = estimate_goals(missing, judge.price).total
        note(
            f"Note: {of(len(missing), 'goal')} will be inferred by {judge.name}: {of(usage.calls, 'call')}, about "
            f"{usage.prompt_tokens:,} tokens in and {usage.completion_tokens:,} out, {money(usage)}."
        )
        return assumed
    load("trainers", settings.method)(replace(settings, chats=assumed))
    with open_engine(spec, work.cache, {"judge": judge}) as engine:
        progress = Progress(engine.ledger, total=len(missing))
        inferring = chats.ainferred(
            GoalReader(judge, engine=engine),
            on_progress=lambda done, failed: progress.update(done=done, failed=failed, mean_mr=None),
        )
        try:
            with shown(progress):
                return run_sync(inferring)
        finally:
            show_usage(engine.ledger)
