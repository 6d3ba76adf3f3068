"""`collab tasks`: what can be evaluated on, and its rows as chats to train on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from collab_cli.failures import finish
from collab_cli.options import CACHE_OPTIONS, DRY_RUN, LIMITS, NO_MODEL, ROLES, Work, declared_options, run_options
from collab_cli.params import OUTPUT, Group, TaskName, option, rows_output
from collab_cli.progress import Progress, shown
from collab_cli.provenance import bots_of, judge_of, show_parts, users_of
from collab_cli.row_options import ROW_OPTIONS, Rows, is_typed
from collab_cli.setup import open_engine, prices_of, tools_part
from collab_cli.summary import show_estimate, show_usage
from collab_cli.terminal import Problems, note, print_text, printable, this_command
from collab_cli.units import of
from collab_sdk import Conversation, RunSpec
from collab_sdk.concurrency import run_sync
from collab_sdk.cost import estimate_openings
from collab_sdk.errors import UsageError
from collab_sdk.files import JsonlWriter
from collab_sdk.jobs import build_rollout, roles_of
from collab_sdk.logs import get_chat_writer
from collab_sdk.spec import EvaluationSpec, made_with
from collab_sdk.tasks import OpeningWriter, get_task, is_opening, marked, task_names
from collab_sdk.version import __version__


@click.group(cls=Group)
def tasks() -> None:
    """List the benchmark tasks, and turn their rows into chats to train on."""


@tasks.command("list")
def list_() -> None:
    """List the tasks, what they measure, where to get their data, and under which licence."""
    for name in task_names():
        task = get_task(name)
        metric = task.metric or "whether the first answer asks"
        hub = f"{task.hub.dataset}, split {task.hub.split}" if task.hub else "made here" if task.made else "--data FILE"
        print_text(f"{task.name}: {metric}")
        print_text(f"  rows: {hub}")
        for what, text in (("fields", task.fields), ("source", task.source)):
            if text:
                print_text(f"  {what}: {text}")


@tasks.command()
@click.argument("task", type=TaskName(), metavar="TASK")
@rows_output("the chats as JSON lines")
@option(
    "--play",
    is_flag=True,
    group=OUTPUT,
    help="Play whole conversations with --assistant, as export-prefs needs them. Without it only openings are "
    "written, which are enough for finetune --rounds.",
)
@run_options(
    *ROW_OPTIONS,
    *ROLES,
    *declared_options(EvaluationSpec, only=("exchanges",)),
    *LIMITS,
    DRY_RUN,
    *CACHE_OPTIONS,
    needs_model=False,
)
def export(
    task: str,
    output: str,
    play: bool,
    spec: RunSpec | None,
    work: Work,
    **values: Any,
) -> None:
    """Write the rows of a benchmark as chats with goals to train on.

    The chats are openings, or with --play whole conversations with a bot.

    The goal of a chat is what the simulated user is told, together with the reference for the task's metric. If a row
    has no text for the goal, the judge's model writes a summary of the reference. The simulated user writes the first
    message, unless the row contains one. If a task has rows of several kinds, such as abg-coqa, --limit takes equally
    many of each.

    \b
      collab tasks export math-chat --split train --limit 500 \\
          --model openai/gpt-4o-mini -o openings.jsonl
      collab tasks export math-chat --data train.jsonl --play \\
          -a openai/gpt-4o --simulator openai/gpt-4o-mini -o chats.jsonl
      collab tasks export abg-coqa --data coqa_abg_train.json -o openings.jsonl
    """
    problems, found = Problems(), get_task(task)
    if found.is_log:
        raise UsageError(f"The rows of {found.name} are chats already: give their files to the other command.")
    if is_typed("exchanges") and not play:
        raise click.UsageError("--exchanges is for --play, which is not given: openings have none.")
    rows_chosen = Rows.taken_out(values, work)
    rows = rows_chosen.of(found, problems)
    if spec is None and (play or not all(map(is_opening, rows))):
        raise UsageError(f"{NO_MODEL} It writes what the rows of {found.name} lack: goals, first messages, replies.")
    exchanges = (spec.evaluation.exchanges or found.exchanges) if spec and play else 0
    if work.dry_run:
        _show_costs(rows, spec, exchanges, problems)
        return
    row_of, written = get_chat_writer("collab"), 0
    chosen = {"exchanges": exchanges, "rows": rows_chosen.provenance(found, rows)}
    with JsonlWriter(output) as file:

        def write(chat: Conversation, row: Conversation, made_with: Mapping[str, Any]) -> None:
            nonlocal written
            file.write(row_of(marked(chat, row, task=found.name, made_with={**made_with, **chosen})))
            written += 1

        if spec is None:
            for row in rows:
                write(row, row, {"package": __version__})
            problems.close()
        else:
            _play(rows, spec, work, exchanges, write, problems)
    if spec is not None:
        show_parts(*([bots_of(spec)] if play else []), users_of(spec), judge_of(spec), found.name, err=True)
    note(f"Wrote {of(written, 'chat')} to {'stdout' if output == '-' else printable(output)}.")
    if written and output != "-":
        after = f"export-prefs {printable(output)} makes pairs" if play else "finetune --rounds plays them"
        note(f"Next: {this_command()} {after}.")
    finish(problems, results=written, why="no row could be made a chat")


def _show_costs(rows: Sequence[Conversation], spec: RunSpec | None, exchanges: int, problems: Problems) -> None:
    problems.close()
    if spec is None:
        note(f"No call is needed for {of(len(rows), 'opening')}.")
        finish(problems, results=len(rows))
        return
    show_estimate(estimate_openings(rows, spec, prices_of(roles_of(spec)), exchanges=exchanges))
    finish(problems, results=len(rows))


def _play(
    rows: Sequence[Conversation],
    spec: RunSpec,
    work: Work,
    exchanges: int,
    write: Callable[[Conversation, Conversation, Mapping[str, Any]], None],
    problems: Problems,
) -> None:
    """Have the models write what is missing; whatever ends it, what it cost is shown."""
    roles = roles_of(spec)
    bot = {"bot": roles.assistant} if exchanges else {}
    parts = {**bot, **roles.simulator.models, "judge": roles.judge, **tools_part(spec, roles)}

    async def play(writer: OpeningWriter, made: Mapping[str, Any], progress: Progress) -> None:
        async for outcome in writer.awrite_all(rows):
            if outcome.value is not None:
                write(outcome.value, outcome.conversation, made)
            else:
                problems.report(f"{outcome.conversation.id}: {outcome.error}")
            progress.update(done=progress.done + 1, failed=problems.count, mean_mr=None)

    with open_engine(spec, work.cache, parts) as engine:
        progress = Progress(engine.ledger, total=len(rows))
        rollout = build_rollout(spec, engine, roles)
        known = {name: model.fingerprint for name, model in parts.items()} | rollout.simulator.fingerprints
        made = made_with(spec, known, codes=rollout.toolbox.codes)
        try:
            with shown(progress):
                run_sync(play(OpeningWriter(rollout=rollout, judge=roles.judge, exchanges=exchanges), made, progress))
        finally:
            problems.close()
            show_usage(engine.ledger)
