"""`collab demo --train`: a language model that learns when to ask."""

import time
from pathlib import Path

import click

from collab_cli.terminal import note, printable, show
from collab_cli.units import duration
from collab_sdk.demos import PLUGIN_GROUP, Demo, Shown
from collab_sdk.errors import UnknownNameError
from collab_sdk.plugins import load, registered

NAME = "train"
AVERAGES = ("exchanges", "tokens")
"""Figures that are no shares."""


def demo_train(output: Path) -> None:
    """Train in the folder `output`, and show what came of it."""
    if NAME not in registered(PLUGIN_GROUP):
        raise UnknownNameError.of("demo", NAME, registered(PLUGIN_GROUP))
    demo: Demo = load(PLUGIN_GROUP, NAME)
    started = time.monotonic()

    def on_stage(what: str) -> None:
        note(f"{duration(time.monotonic() - started):>8}  {what}")

    shown = demo(output, on_stage=on_stage)
    on_stage("done")
    _show_figures(shown)
    _show_conversations(shown)
    click.echo(f"Picture: {shown.picture}")


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
    click.echo()
    show(table)
    click.echo(f"\n{shown.note}")


def _show_conversations(shown: Shown) -> None:
    for name, messages in shown.conversations.items():
        click.echo(f"\n{name}:\n")
        for message in messages:
            click.echo(f"  {message.role:<9}  {printable(message.content)}")
    click.echo()
