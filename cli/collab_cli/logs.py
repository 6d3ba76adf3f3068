"""`collab logs`: what was harvested or imported."""

from itertools import islice
from pathlib import Path

import click

from collab_cli.failures import finish
from collab_cli.logs_purge import purge
from collab_cli.logs_store import STORE, STORES
from collab_cli.logs_view import list_, show
from collab_cli.options import LIMIT, LOG_FORMAT, LOGS
from collab_cli.params import OUTPUT, Group, option
from collab_cli.paths import WrittenPath, just
from collab_cli.terminal import Problems, note
from collab_cli.units import of
from collab_sdk import read_conversations
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import CHAT_WRITERS, ConversationStore, get_chat_writer

BATCH = 200
"""Chats to a transaction."""


@click.group(cls=Group)
def logs() -> None:
    """Look after the conversation store, the file that apps record into.

    Every command that takes LOGS reads a store like any other file.
    """


@logs.command("import")
@LOGS
@STORE
@LOG_FORMAT
@LIMIT
def import_(logs: tuple[str, ...], store: Path, log_format: str | None, limit: int | None) -> None:
    """Put logged chats into a store.

    What the store has already stays as it is, so the same logs can be imported again.

    \b
      collab logs import chats.jsonl conversations.json --store chats.db
    """
    problems = Problems()
    logged = read_conversations(logs, format=log_format, on_error=problems.report, notes=problems.notes)
    chats = islice(logged, limit)
    with ConversationStore(store) as target:
        before, added = len(target), 0
        while batch := list(islice(chats, BATCH)):
            added += target.add(batch, on_error=problems.report)
        new = len(target) - before
    problems.close()
    note(f"Imported {of(added, 'chat')} into {store}: {new:,} new, {added - new:,} that it had.")
    finish(problems)


@logs.command()
@click.argument("stores", nargs=-1, required=True, metavar="STORE...", type=STORES)
@option(
    "--output",
    "-o",
    type=WrittenPath(files=just, path_type=str, allow_dash=True),
    default="-",
    show_default=True,
    metavar="FILE",
    group=OUTPUT,
    help="File for the rows; - is stdout.",
)
@option(
    "--format", type=click.Choice(list(CHAT_WRITERS)), default="collab", show_default=True, help="The kind of rows."
)
@LIMIT
def export(stores: tuple[Path, ...], output: str, format: str, limit: int | None) -> None:
    """Write stored chats as JSON lines.

    Only rows of the kind collab have everything: ids, goals, metadata and the other responses to each history.

    \b
      collab logs export chats.db -o chats.jsonl
    """
    problems, to_row, written = Problems(), get_chat_writer(format), 0
    with JsonlWriter(output) as rows:
        for chat in islice(read_conversations(stores, on_error=problems.report), limit):
            rows.write(to_row(chat))
            written += 1
    problems.close()
    note(f"Wrote {of(written, 'chat')} to {'stdout' if output == '-' else output}.")
    finish(problems)


logs.add_command(list_)
logs.add_command(show)
logs.add_command(purge)
