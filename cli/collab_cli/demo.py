"""`collab demo`: the main job on the shipped sample chats, by rules."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collab_cli.export_prefs import export_prefs
from collab_cli.params import Command, option
from collab_cli.paths import WrittenPath
from collab_cli.terminal import note, print_text, printable, show, shown_response, this_command
from collab_cli.units import duration
from collab_sdk.demos import Demo, Shown
from collab_sdk.errors import MissingExtraError, OutputError
from collab_sdk.files import beside, export_files
from collab_sdk.messages import as_messages
from collab_sdk.offline import sample_chats_path
from collab_sdk.plugins import load
from collab_sdk.report import write_report

if TYPE_CHECKING:
    from rich.table import Table

HONEST = """\
This shows what the commands do, with bot, user and judge played by rules, not by models.
"""
NEXT = """\
Next, chats of your own and a model (JSON lines of OpenAI messages or ShareGPT):

  {collab} score chats.jsonl --model openai/gpt-4o-mini --limit 5
  {collab} export-prefs chats.jsonl --model openai/gpt-4o-mini --dry-run
"""

AVERAGES = ("exchanges", "tokens")
"""Figures that are no shares."""


def _files(folder: Path) -> list[Path]:
    return [*export_files(folder / "prefs.jsonl"), folder / "report.html"]


@click.command(cls=Command)
@option(
    "--output",
    "-o",
    type=WrittenPath(files=_files, file_okay=False, path_type=Path),
    default="collab-demo",
    show_default=True,
    metavar="DIR",
    help="Directory for the files.",
)
@option(
    "--train", is_flag=True, help="Train a small language model until it learns when to ask; takes minutes on a CPU."
)
@click.pass_context
def demo(ctx: click.Context, output: Path, train: bool) -> None:
    """Turn twelve sample chats into preference pairs, without a key or a network.

    At every turn, other responses are sampled. Each is played forward with a simulated user and scored by how the
    conversation ends, and the best and the worst become a preference pair.

    With --train, the bot is a small language model instead of rules. It first learns from scratch to take orders in a
    coffee bar, and is then trained on pairs of its own replies. It serves customers before and after this training.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write to {output}: {error.strerror}.") from error
    if train:
        _train(output)
        return
    note(HONEST)
    pairs = output / "prefs.jsonl"
    ctx.invoke(
        export_prefs, logs=(str(sample_chats_path()),), output=pairs, model="offline", cache_dir=str(output / "cache")
    )
    _show_best(beside(pairs, "turns"))
    print_text(NEXT.format(collab=this_command()))
    _write_page(pairs, output / "report.html")


def _write_page(pairs: Path, page: Path) -> None:
    """The page on the pairs, or how to get it."""
    try:
        write_report(pairs, page)
    except MissingExtraError:
        print_text(f"For a page to look at: pip install 'collab-sdk[report]', then {this_command()} report {pairs}")
    else:
        print_text(f"Report: {page} (open it in a browser)")


def _show_best(turns: Path) -> None:
    rows = [json.loads(line) for line in turns.read_text(encoding="utf-8").splitlines()]
    best = max((row for row in rows if row["pair"]), key=lambda row: row["pair"]["margin"])
    print_text(f"\nThe pair that is furthest apart, in {best['conversation_id']}. The user wants:\n")
    for line in best["goal"].splitlines():
        print_text(f"  {printable(line)}")
    print_text("\nand the conversation is at:\n")
    for message in best["history"]:
        print_text(f"  {message['role']}: {printable(message['content'])}")
    print_text()
    show(_side_by_side(best))
    print_text()


def _side_by_side(row: dict[str, Any]) -> "Table":
    from rich import box
    from rich.table import Table

    sides = [_candidate(row, row["pair"][side]) for side in ("chosen", "rejected")]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for side, candidate in zip(("chosen", "rejected"), sides, strict=True):
        table.add_column(f"{side}: MR {candidate['mr']:.2f}, {candidate['source']}", ratio=1)
    table.add_row(*(shown_response(as_messages(candidate["messages"])) for candidate in sides))
    table.add_row()
    for metric in sides[0]["metrics"]:
        table.add_row(*(f"{metric} {candidate['metrics'][metric]:.2f}" for candidate in sides), style="dim")
    return table


def _candidate(row: dict[str, Any], side: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(candidate for candidate in row["candidates"] if candidate["messages"] == side)
    return found


def _train(output: Path) -> None:
    """Train in the folder `output`, and show what came of it."""
    train: Demo = load("demos", "train")
    started = time.monotonic()

    def on_stage(what: str) -> None:
        note(f"{duration(time.monotonic() - started):>8}  {what}")

    shown = train(output, on_stage=on_stage)
    on_stage("done")
    _show_figures(shown)
    _show_conversations(shown)
    print_text(f"Picture: {shown.picture}")
    _write_page(shown.pairs, output / "report.html")


def _show_figures(shown: Shown) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("")
    for name in shown.figures:
        table.add_column(name, justify="right")
    for figure in next(iter(shown.figures.values())):
        form = ".1f" if figure in AVERAGES else ".0%"
        table.add_row(figure, *(f"{values[figure]:{form}}" for values in shown.figures.values()))
    print_text()
    show(table)
    print_text(f"\n{shown.note}")


def _show_conversations(shown: Shown) -> None:
    for name, messages in shown.conversations.items():
        print_text(f"\n{name}:\n")
        for message in messages:
            print_text(f"  {message.role:<9}  {printable(message.content)}")
    print_text()
