"""`collab logs list` and `collab logs show`."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from collab_cli.failures import finish
from collab_cli.params import Command, Count, option
from collab_cli.paths import ReadPath
from collab_cli.terminal import Problems, make_console, note, printable
from collab_cli.terminal import show as show_text
from collab_cli.units import of
from collab_sdk import Conversation
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import ConversationStore, StoredChat, called_function

if TYPE_CHECKING:
    from rich.table import Table

STORES = ReadPath(exists=True, dir_okay=False, path_type=Path)
"""Files of stores that are read; what else is wrong with them, the store says."""
READ_STORE = option("--store", type=STORES, required=True, metavar="FILE", help="The store.")
LISTED = 50
SCHEMA = "collab/stored-chat/v1"
INDENT = "    "
LONGEST_ID = 64
"""Characters of an id that are not broken, so that it can be copied."""
OTHER_COLUMNS = 45


@click.command("list", cls=Command)
@READ_STORE
@option("--limit", type=Count(min=1), metavar="N", help=f"Show N chats.  [default: {LISTED}; with --json, all]")
@option("--json", is_flag=True, help="JSON lines in place of the table.")
def list_(store: Path, limit: int | None, json: bool) -> None:
    """List the chats of a store, the latest first."""
    problems, listed = Problems(), 0
    with ConversationStore(store) as chats:
        if json:
            with JsonlWriter("-") as rows:
                for chat in chats.listing(limit=limit, on_error=problems.report):
                    rows.write({"schema": SCHEMA, **asdict(chat)})
                    listed += 1
        else:
            shown = list(chats.listing(limit=limit or LISTED, on_error=problems.report))
            listed = len(shown)
            if shown:
                show_text(_table(shown), at_least=_id_width(shown) + OTHER_COLUMNS)
                note(f"{listed:,} of {of(len(chats), 'chat')} in {store}.")
    problems.close()
    finish(problems, results=listed, why=f"there is no chat in {store}")


@click.command(cls=Command)
@click.argument("id")
@READ_STORE
def show(id: str, store: Path) -> None:
    """Show a chat, and the other responses that were given along it."""
    with ConversationStore(store) as chats:
        described, chat = chats.describe(id), chats.get(id)
    for line in _lines(described, chat, width=make_console(err=False).width):
        click.echo(line)


def _table(chats: Sequence[StoredChat]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("id", min_width=_id_width(chats), overflow="fold")
    table.add_column("source", overflow="fold")
    table.add_column("turns", justify="right", no_wrap=True)
    table.add_column("last activity", no_wrap=True)
    table.add_column("model", overflow="fold")
    table.add_column("user", overflow="fold")
    for chat in chats:
        table.add_row(
            printable(chat.id),
            _joined(chat.sources),
            str(chat.turns),
            _when(chat.last_active),
            _joined(chat.models),
            _joined(chat.users),
        )
    return table


def _id_width(chats: Sequence[StoredChat]) -> int:
    return min(max(len(printable(chat.id)) for chat in chats), LONGEST_ID)


def _lines(described: StoredChat, chat: Conversation | None, *, width: int) -> Iterator[str]:
    about = (_joined(described.sources), _joined(described.models), _when(described.last_active))
    yield " · ".join([printable(described.id), of(described.turns, "turn"), *(text for text in about if text != "-")])
    if chat is not None:
        if chat.goal is not None and chat.goal.text:
            yield from _block("goal", chat.goal.text, width)
        yield from _messages(chat, width)
    if described.failed:
        reasons = "; ".join(dict.fromkeys(printable(reason) for reason in described.failed))
        yield f"\n{of(len(described.failed), 'call')} without an answer: {reasons}"


def _messages(chat: Conversation, width: int) -> Iterator[str]:
    turn_at = {len(turn.history): turn.index for turn in chat.turns()}
    partial = chat.partial_turns
    for position, message in enumerate(chat.messages):
        turn = turn_at.get(position)
        speaker = message.role if turn is None else f"{message.role}, turn {turn}"
        text = message.content
        for call in message.tool_calls:
            function = called_function(call)
            text += f"\n-> {function.get('name')}({function.get('arguments')})"
        yield from _block(f"{speaker} (broken off)" if turn in partial else speaker, text, width)
        for other in () if turn is None else chat.alternatives.get(turn, ()):
            yield from _block(f"  or, turn {turn}", other, width, indent=INDENT + "  ")


def _block(title: str, text: str, width: int, *, indent: str = INDENT) -> Iterator[str]:
    yield f"\n{title}:"
    for line in text.strip().splitlines():
        shown = "".join(char if char.isprintable() else " " for char in line)
        yield from wrap(shown, max(width, 40), initial_indent=indent, subsequent_indent=indent) or [""]


def _joined(values: Iterable[str]) -> str:
    return ", ".join(printable(value) for value in values) or "-"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if 0 < seconds < 1e11 else "-"
