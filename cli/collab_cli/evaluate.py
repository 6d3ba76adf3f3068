"""`collab evaluate`: bots in whole conversations with the simulated user."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from collab_cli.evaluate_output import show_evaluation
from collab_cli.evaluate_run import Evaluation, dry_run, evaluating
from collab_cli.evaluate_setup import Setting
from collab_cli.failures import finish
from collab_cli.options import LIMIT, PARTS, RUNNER, SPENDING, RunOptions, count, number, option, taking
from collab_cli.terminal import Problems, note
from collab_sdk.errors import UsageError
from collab_sdk.evaluation import BotStatistic, bot_statistics, evaluation_row, plot_statistics, require_plot
from collab_sdk.logs import JsonlWriter

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@option(
    "--assistant",
    "-a",
    "bots",
    multiple=True,
    metavar="BOT",
    help="A bot; repeatable. Others are compared with the first. proactive:BOT and prompt:FILE@BOT instruct it.",
)
@option("--task", "-t", "tasks", multiple=True, required=True, metavar="TASK", help="A benchmark; repeatable.")
@option("--data", type=FILE, metavar="FILE", help="The task's rows, in the data set's own schema; or chats, for logs.")
@number("--exchanges", count(1), help="Of each conversation, at most.  [default: the task's]")
@number("--samples", count(1), 1, help="Conversations for each goal.")
@option("--output", "-o", type=FILE, metavar="FILE", help="Everything as JSON: figures and conversations.")
@option("--plot", type=FILE, metavar="PNG", help="The figures as a picture.")
@option("--unsafe-exec", is_flag=True, help="Run models' code unprotected where there is no sandbox.")
@taking([*PARTS, LIMIT, *SPENDING, *RUNNER])
def evaluate(
    bots: tuple[str, ...],
    tasks: tuple[str, ...],
    data: Path | None,
    exchanges: int | None,
    output: Path | None,
    plot: Path | None,
    unsafe_exec: bool,
    options: RunOptions,
) -> None:
    """Play whole conversations of bots with the simulated user, and compare what they came to.

    Each figure has a 95 % interval over conversations, and the difference to the first bot one over pairs of
    conversations with the same goal. Tasks: abg-coqa, bigcodebench-chat, logs, math-chat, medium-docedit, order-desk.

    \b
      collab evaluate -a openai/gpt-4o-mini -a proactive:openai/gpt-4o-mini -t math-chat --model openai/gpt-4o-mini
      collab evaluate -a py:my_app:bot -t logs --data chats.jsonl --model openai/gpt-4o-mini -o result.json
    """
    if data is not None and len(tasks) > 1:
        raise UsageError("One --data file belongs to one --task: run the command once for each.")
    if plot is not None and len(tasks) > 1:
        raise UsageError("One --plot shows one --task: run the command once for each.")
    problems = Problems()
    setting = Setting(bots=bots, tasks=tasks, data=data, exchanges=exchanges, unsafe_exec=unsafe_exec, options=options)
    if options.dry_run:
        dry_run(setting, problems)
        return
    if plot is not None:
        require_plot()
    with evaluating(setting, problems) as run:
        measured = ((evaluation, bot_statistics(evaluation.results)) for evaluation in run.all())
        for evaluation, shown in measured if output is None else _written(measured, output):
            show_evaluation(evaluation, shown)
            if plot is not None and shown:
                plot_statistics(shown, [r.name for r in evaluation.results], plot, title=evaluation.evaluator.task.name)
    for what, path in (("Details:", output), ("Plot:", plot)):
        if path is not None:
            note(f"{what:<9} {path}")
    finish(problems)


def _written(
    measured: Iterable[tuple[Evaluation, list[BotStatistic]]], path: Path
) -> Iterator[tuple[Evaluation, list[BotStatistic]]]:
    """Pass evaluations on, and write each as a row. The file is opened before anything is paid for."""
    with JsonlWriter(path) as file:
        for evaluation, shown in measured:
            file.write(evaluation_row(evaluation.evaluator, evaluation.results, shown))
            yield evaluation, shown
