"""`collab finetune`: from a preference file, or logged chats, to a LoRA adapter."""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from collab_cli.failures import finish
from collab_cli.finetune_gain import PlannedGain, check_gain, show_gain
from collab_cli.finetune_output import show_preflight, show_report
from collab_cli.finetune_progress import training_shown
from collab_cli.finetune_user import chats_with_goals, check_options
from collab_cli.options import (
    ASSISTANT_SETTINGS,
    CACHE_OPTIONS,
    DEFAULT_MODEL,
    JUDGE,
    LIMIT,
    LIMITS,
    PLAYING_USER,
    SCORING,
    TOOLS,
    Work,
    declared_options,
    names_of,
    run_options,
    taking,
)
from collab_cli.params import INPUT, OUTPUT, Command, Weight, each_once, option
from collab_cli.paths import ReadPath, WrittenPath
from collab_cli.setup import open_scorer
from collab_cli.summary import note_same_user, show_usage
from collab_cli.terminal import Problems
from collab_sdk import ModelSpec, RunSpec
from collab_sdk.errors import OutputError
from collab_sdk.plugins import load, names
from collab_sdk.spec import SPENDING, EvaluationSpec, PairRule
from collab_sdk.training import (
    CANDIDATES,
    EXCHANGES,
    PLAYING,
    TRAINING,
    USER,
    Play,
    Training,
    TrainingOptions,
    TrainingReport,
)

HELPS = {"candidates": "Number of replies to draw at each turn, if the model plays."}
PLAYED = [
    *ASSISTANT_SETTINGS,
    *TOOLS,
    *SCORING,
    *declared_options(PairRule, helps=HELPS, candidates=CANDIDATES),
    *declared_options(EvaluationSpec, only=("exchanges",), exchanges=EXCHANGES),
]
"""How conversations are played and scored, beside who takes part."""
OF_ROUNDS = names_of(declared_options(PairRule)) - {"candidates"}
"""Which pairs a round is trained on."""
ASKED = [LIMIT, *LIMITS, *CACHE_OPTIONS]
"""Of how much models are asked, and where replies are kept: goals that are inferred need that as well."""


@click.command(cls=Command)
@click.argument("data", type=ReadPath(exists=True, path_type=Path), metavar="PREFS")
@option(
    "--base",
    "-m",
    required=True,
    type=ReadPath(path_type=str),
    metavar="BASE",
    group=INPUT,
    help="Base model: a folder, or a name on the Hugging Face hub.",
)
@option(
    "--output",
    "-o",
    required=True,
    type=WrittenPath(folder=True, file_okay=False, path_type=Path),
    metavar="DIR",
    group=OUTPUT,
    help="Folder to write the adapter to.",
)
@option(
    "--loss",
    type=Weight(),
    multiple=True,
    callback=each_once,
    metavar="NAME=WEIGHT",
    group=TRAINING,
    help="Term of the DPO loss, with its weight; repeatable.  [default: sigmoid=1 sft=1]",
)
@option(
    "--evaluate",
    type=ReadPath(exists=True, path_type=Path),
    multiple=True,
    metavar="LOGS",
    group=INPUT,
    help="After training, compare base and adapter on those of these chats that were not trained on; repeatable.",
)
@taking(declared_options(TrainingOptions))
@run_options(
    *DEFAULT_MODEL,
    *PLAYING_USER,
    *JUDGE,
    *PLAYED,
    *ASKED,
    option(
        "--dry-run",
        is_flag=True,
        group=SPENDING,
        help="Check the data, estimate memory and show an example, and load no weights.",
    ),
    needs_model=False,
    plays=lambda values: values["role"] != USER,
)
def finetune(
    loss: tuple[tuple[str, float], ...],
    evaluate: tuple[Path, ...],
    spec: RunSpec | None,
    work: Work,
    **values: object,
) -> None:
    """Train a LoRA adapter on preferences, or on the model's own conversations.

    PREFS is what export-prefs wrote, another preference or SFT format as JSON lines, or a folder saved by Hugging Face
    datasets. The data are checked for silent errors before any weights are loaded. To resume a run that was killed,
    give the same command again.

    With --rounds, or with --method online-dpo, grpo, rloo or ppo, the model plays: PREFS are logged chats with goals,
    the model answers them itself, the simulated user continues from each reply, and the reward is how the conversation
    ends.

    With --role user, PREFS are logged chats too. The model learns to write and leave like their users, and can then be
    used as --simulator plain:hf:BASE@DIR. If chats have no goals, --model infers them.

    \b
      collab finetune prefs.jsonl -m Qwen/Qwen2.5-1.5B-Instruct -o adapter \\
          --dry-run
      collab finetune prefs.jsonl -m Qwen/Qwen2.5-1.5B-Instruct -o adapter
      collab finetune prefs.jsonl -m BASE -o adapter \\
          --evaluate held-out.jsonl --model openai/gpt-4o-mini
      collab finetune chats.jsonl -m BASE -o adapter --method grpo \\
          --model openai/gpt-4o-mini
      collab finetune chats.jsonl -m BASE -o user --role user
      accelerate launch --num_processes 4 -m collab_cli.main \\
          finetune prefs.jsonl -m BASE -o adapter
    """
    settings = TrainingOptions(**({"loss": loss} if loss else {}), **values)  # type: ignore[arg-type]
    if settings.role == USER:
        settings = _of_user(settings, spec, work)
    plays = settings.rounds > 0 or settings.method in PLAYING
    if settings.role != USER and not plays and not evaluate and settings.method in names("trainers"):
        _refuse(
            names_of([*DEFAULT_MODEL, *PLAYING_USER, *JUDGE, *PLAYED, *ASKED]),
            "is for playing conversations, and this training plays none: give --rounds, a --method that plays, or "
            "--evaluate LOGS; or leave it out.",
        )
    if settings.method in PLAYING:
        _refuse(OF_ROUNDS, f"is for the pairs of --rounds, and {settings.method} makes none: leave it out.")
    played = spec and spec.with_assistant(ModelSpec(name=settings.base_bot, settings=spec.assistant.settings))
    if evaluate:
        check_gain(evaluate, played)
    with ExitStack() as stack:
        if plays and played is not None:
            scorer = stack.enter_context(open_scorer(played, work.cache))
            play = Play(scorer=scorer, exchanges=played.evaluation.exchanges or EXCHANGES, rule=played.pairs)
            settings = replace(settings, play=play)
        training = load("trainers", settings.method)(settings)
        speaks = os.environ.get("RANK", "0") == "0"  # one process of those that were launched
        if speaks:
            show_preflight(training.preflight, skip_bad=settings.skip_bad)
        gain = PlannedGain.of(evaluate, played, work, training.preflight) if evaluate and played is not None else None
        if gain is not None and speaks:
            gain.note(work)
            note_same_user("The adapter", settings.trained_against, gain.spec)
        if work.dry_run:
            return
        report = _train(training, settings, speaks=speaks)
    if report is None:
        return
    problems, is_whole = Problems(), report.verdict.is_good
    if gain is not None:
        is_whole = show_gain(gain, settings, work, bot=report.bot, problems=problems) and is_whole
    if report.push_failure is not None:
        raise OutputError(report.push_failure)
    finish(problems, results=1, incomplete=not is_whole)  # there is an adapter, whatever it is worth


def _of_user(settings: TrainingOptions, spec: RunSpec | None, work: Work) -> TrainingOptions:
    """With the chats, and the one method that a user is learnt with unless another was asked for."""
    check_options(names_of([*PLAYING_USER, *PLAYED]))
    source = click.get_current_context().get_parameter_source("method")
    if source is click.core.ParameterSource.DEFAULT:
        settings = replace(settings, method="sft")
    return replace(settings, chats=chats_with_goals(settings, spec, work))


def _refuse(names: frozenset[str], why: str) -> None:
    """Raise UsageError for a flag of these that is given, and would have no effect."""
    context = click.get_current_context()
    for parameter in context.command.params:
        is_given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if is_given and parameter.name in names:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def _train(training: Training, settings: TrainingOptions, *, speaks: bool) -> TrainingReport | None:
    """What came of it; None where another process speaks of it."""
    try:
        with training_shown() as on_progress:
            report = training.run(on_progress)
    finally:
        if speaks and settings.play is not None:
            show_usage(settings.play.scorer.engine.ledger)
    if not speaks:
        return None
    show_report(report)
    return report
