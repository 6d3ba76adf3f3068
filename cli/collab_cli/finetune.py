"""`collab finetune`: from a preference file to a LoRA adapter."""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from collab_cli.failures import finish
from collab_cli.finetune_gain import check_gain, show_gain, with_base
from collab_cli.finetune_output import show_preflight, show_report
from collab_cli.finetune_progress import training_shown
from collab_cli.options import (
    CONFIG,
    LIMIT,
    MAX_CALLS,
    MAX_USD,
    PARTS,
    SCORING,
    Number,
    RunOptions,
    Weight,
    cache_option,
    count,
    each_once,
    number,
    option,
    taking,
)
from collab_cli.setup import open_scorer
from collab_cli.summary import show_usage
from collab_cli.terminal import Problems
from collab_sdk.errors import UnknownNameError
from collab_sdk.plugins import registered
from collab_sdk.training import CANDIDATES, EXCHANGES, PLAYING, PLUGIN_GROUP, Play, Trainer, TrainingOptions

DEFAULTS = TrainingOptions(data=Path(), base="", output=Path())


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path), metavar="PREFS")
@option("--base", "-m", required=True, metavar="BASE", help="The base model: a folder, or a name on the hub.")
@option(
    "--output", "-o", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where the adapter goes."
)
@option(
    "--method",
    default=DEFAULTS.method,
    show_default=True,
    metavar="NAME",
    help="dpo, sft or kto; or, playing: online-dpo, grpo, rloo or ppo.",
)
@number("--rounds", count(0), DEFAULTS.rounds, help="Of DPO, playing: talk, pair, train, merge, and again.")
@option("--sft-first", is_flag=True, help="First learn the chosen replies, then go on from there.")
@option(
    "--loss",
    type=Weight(),
    multiple=True,
    callback=each_once,
    metavar="NAME=WEIGHT",
    help="A term of DPO's loss; repeatable.  [default: sigmoid=1 sft=1]",
)
@number("--beta", Number(min=0, min_open=True), help="How close to stay to the base.  [default: 0.1; grpo 0.04]")
@number("--epochs", Number(min=0, min_open=True), DEFAULTS.epochs, help="Times through the data.")
@option("--learning-rate", type=Number(min=0, min_open=True), metavar="RATE", help="[default: 1e-5; sft 1e-4]")
@number("--sft-learning-rate", Number(min=0, min_open=True), DEFAULTS.sft_learning_rate, help="Of --sft-first.")
@number("--batch-size", count(1), DEFAULTS.batch_size, help="Examples for one step.")
@number("--micro-batch", count(1), help="Of these, at once on one device.  [default: what fits]")
@number("--max-length", count(1), help="Tokens of prompt and reply.  [default: what the base can read]")
@number("--rank", count(1), DEFAULTS.rank, help="Of the adapter's matrices.")
@number("--alpha", count(1), DEFAULTS.alpha, help="The adapter counts alpha / rank.")
@option("--load-in-4bit", is_flag=True, help="Keep the base in 4 bits (QLoRA; needs bitsandbytes and a GPU).")
@option("--checkpointing/--no-checkpointing", default=None, help="Recompute activations.  [default: if needed]")
@number("--eval-fraction", Number(min=0, max=1, max_open=True), DEFAULTS.eval_fraction, help="Chats to hold out.")
@number("--patience", count(0), DEFAULTS.patience, help="Looks below the best before it stops; 0: never.")
@number("--seed", count(0), DEFAULTS.seed, help="Same seed, same adapter (on a CPU).")
@option("--skip-bad", is_flag=True, help="Leave out the rows that preflight refuses.")
@option("--merge", is_flag=True, help="Also write the base with the adapter merged in.")
@option("--report-to", multiple=True, metavar="TRACKER", help="tensorboard, wandb, mlflow or trackio; repeatable.")
@number("--candidates", count(2), CANDIDATES, help="Playing: replies to a history that are compared.")
@number("--exchanges", count(1), EXCHANGES, help="Playing in rounds: of a conversation, at most.")
@option("--dry-run", is_flag=True, help="Only check, estimate and show; no weight is loaded.")
@option(
    "--evaluate",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="LOGS",
    help="Then compare base and adapter on these chats, where they were not trained on; repeatable.",
)
@taking([*PARTS, *SCORING, LIMIT, MAX_USD, MAX_CALLS, cache_option])
@CONFIG
def finetune(
    loss: tuple[tuple[str, float], ...],
    evaluate: tuple[Path, ...],
    candidates: int,
    exchanges: int,
    options: RunOptions,
    **values: object,
) -> None:
    """Fine-tune a LoRA adapter on preferences, or on what the model says while it is trained.

    PREFS is what export-prefs wrote, any other preference or SFT format as JSON lines, or a folder that Hugging Face
    datasets saved. All that can go wrong silently is looked for before any weight is loaded. A run that was killed goes
    on when the same command is given again.

    With --rounds, or a method that plays, PREFS are chats in any format of logs, with their goals: the model answers
    them itself, the simulated user goes on from each reply, and what that comes to is its reward.

    \b
      collab finetune prefs.jsonl -m Qwen/Qwen2.5-1.5B-Instruct -o adapter --dry-run
      collab finetune prefs.jsonl -m Qwen/Qwen2.5-1.5B-Instruct -o adapter
      collab finetune prefs.jsonl -m BASE -o adapter --evaluate held-out.jsonl --model openai/gpt-4o-mini
      collab finetune chats.jsonl -m BASE -o adapter --method grpo --model openai/gpt-4o-mini
      accelerate launch --num_processes 4 -m collab_cli.main finetune prefs.jsonl -m BASE -o adapter
    """
    settings = TrainingOptions(loss=loss or DEFAULTS.loss, **values)  # type: ignore[arg-type]
    if evaluate:
        check_gain(evaluate, settings, options)
    with ExitStack() as stack:
        plays = settings.rounds > 0 or settings.method in PLAYING
        if plays and (options.simulator or options.judge or options.model):
            scorer = stack.enter_context(open_scorer(with_base(settings, options)))
            play = Play(scorer=scorer, candidates=candidates, exchanges=exchanges)
            settings = replace(settings, play=play)
        trained = _train(settings, dry_run=options.dry_run)
    if evaluate and trained is not None:
        bot, trained_on = trained
        problems = Problems()
        show_gain(evaluate, settings, options, bot=bot, trained_on=trained_on, problems=problems)
        finish(problems)


def _train(settings: TrainingOptions, *, dry_run: bool) -> tuple[str, frozenset[str]] | None:
    """The trained model, and the chats it was trained on; None without one, or where another process speaks of it."""
    training = _trainer(settings.method)(settings)
    speaks = os.environ.get("RANK", "0") == "0"  # one process of those that were launched
    if speaks:
        show_preflight(training.preflight, skip_bad=settings.skip_bad)
    if dry_run:
        return None
    try:
        with training_shown() as on_progress:
            report = training.run(on_progress)
    finally:
        if speaks and settings.play is not None:
            show_usage(settings.play.scorer.engine.ledger)
    if not speaks:
        return None
    show_report(report)
    return report.bot, training.preflight.trained_on


def _trainer(method: str) -> Trainer:
    methods = registered(PLUGIN_GROUP)
    if method not in methods:
        raise UnknownNameError.of("method", method, methods)
    trainer: Trainer = methods[method].load()
    return trainer
