"""`collab logs`: what was harvested or imported."""

import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import click

from collab_cli.failures import finish, no_result
from collab_cli.logs_personas import personas
from collab_cli.logs_view import STORES, list_, show
from collab_cli.options import CACHE_PLACE, LIMIT, LOG_FORMAT, LOGS
from collab_cli.params import Group, Number, option, rows_output
from collab_cli.paths import WrittenPath
from collab_cli.run import named
from collab_cli.terminal import Problems, note, print_text, printable
from collab_cli.units import of
from collab_sdk import read_conversations
from collab_sdk.cache import forget, is_directory, open_cache, shown_place
from collab_sdk.errors import InputError
from collab_sdk.files import JsonlWriter, database_files
from collab_sdk.harvest import salted_user
from collab_sdk.logs import CHAT_WRITERS, ConversationStore, Purge, get_chat_writer

STORE = option(
    "--store",
    type=WrittenPath(in_place=database_files, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Store to import into; created if it does not exist.",
)
CHANGED_STORE = option(
    "--store",
    type=WrittenPath(in_place=database_files, exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Conversation store to use.",
)
BATCH = 200
"""Chats to a transaction."""
SECONDS_A_DAY = 86_400
MADE_OF_CHATS = (
    "exports, personas, preference and training files, score files, reports, the files beside them (.turns.jsonl, "
    ".run.json)"
)


@click.group(cls=Group)
def logs() -> None:
    """Manage the conversation store, the file into which apps record.

    Every command that takes LOGS can also read a store.
    """


@logs.command("import")
@LOGS
@STORE
@LOG_FORMAT
@LIMIT
def import_(logs: tuple[str, ...], store: Path, log_format: str | None, limit: int | None) -> None:
    """Import logged chats into a store.

    Chats that the store already has are not changed, so you can import the same logs again.

    \b
      collab logs import chats.jsonl conversations.json --store chats.db
    """
    problems = Problems()
    chats = read_conversations(logs, format=log_format, limit=limit, on_error=problems.report, notes=problems.notes)
    with ConversationStore(store) as target:
        before, added = len(target), 0
        while batch := list(islice(chats, BATCH)):
            added += target.add(batch, on_error=problems.report)
        new = len(target) - before
    problems.close()
    note(f"Imported {of(added, 'chat')} into {store}: {new:,} new, {added - new:,} that it had.")
    finish(problems, results=added, why=f"no chat could be read from {named(logs)}")


@logs.command()
@click.argument("stores", nargs=-1, required=True, metavar="STORE...", type=STORES)
@rows_output("the rows")
@option(
    "--format", type=click.Choice(list(CHAT_WRITERS)), default="collab", show_default=True, help="Format of the rows."
)
@LIMIT
def export(stores: tuple[Path, ...], output: str, format: str, limit: int | None) -> None:
    """Write stored chats as JSON lines.

    Only --format collab keeps everything: ids, goals, metadata and the alternative responses.

    \b
      collab logs export chats.db -o chats.jsonl
    """
    problems, to_row, written = Problems(), get_chat_writer(format), 0
    with JsonlWriter(output) as rows:
        for chat in read_conversations(stores, limit=limit, on_error=problems.report, notes=problems.notes):
            rows.write(to_row(chat))
            written += 1
        if not written:  # an output of an earlier export stays
            no_result(f"no chat could be read from {', '.join(map(str, stores))}")
    problems.close()
    note(f"Wrote {of(written, 'chat')} to {'stdout' if output == '-' else output}.")
    finish(problems, results=written)


@logs.command()
@CHANGED_STORE
@option(
    "--older-than",
    type=Number(min=0),
    metavar="DAYS",
    help="Delete chats whose last call is older than this many days.",
)
@option("--conversation", metavar="ID", help="Delete the chat with this id.")
@option(
    "--user",
    metavar="ID",
    help="Delete the chats of this user: the id that list shows or, with --salt, the original id.",
)
@option("--salt", metavar="TEXT", help="Salt with which the app hashes user ids.")
@option(
    "--cache",
    type=CACHE_PLACE,
    metavar="WHERE",
    help="Also delete cached replies that contain what these users said, from this directory or URL. They are "
    "found by the text of the messages; short messages, such as thanks, are not looked for.",
)
@option("--yes", is_flag=True, help="Do not ask for confirmation.")
def purge(
    store: Path,
    older_than: float | None,
    conversation: str | None,
    user: str | None,
    salt: str | None,
    cache: str | None,
    yes: bool,
) -> None:
    """Permanently delete chats, by age, id or user.

    The text of these chats is removed from the store and the files beside it, except for messages that other chats
    share. If you give several options, a chat must match all of them. The cache of replies (see --cache) and files
    written by other commands may still contain the text; delete those yourself.

    \b
      collab logs purge --store chats.db --older-than 90
      collab logs purge --store chats.db --user 4711 --cache ~/.cache/collab --yes
    """
    if older_than is None and conversation is None and user is None:
        raise click.UsageError("Say what goes: --older-than, --conversation or --user.")
    before = None if older_than is None else time.time() - older_than * SECONDS_A_DAY
    with ConversationStore(store) as chats:
        wanted = Purge(before=before, conversation=conversation, user=user)
        if user is not None and salt:
            own = Purge(before=before, conversation=conversation, user=salted_user(user, salt))
            wanted = own if chats.count_purge(own).conversations else wanted
        found = chats.count_purge(wanted)
        what = f"{of(found.conversations, 'chat')} with {of(found.calls, 'call')}"
        if found.conversations and not yes:
            quoting = "the replies that quote them, or are damaged, from"
            also = "" if cache is None else f", and {quoting} {printable(shown_place(cache))}"
            where = f"{printable(str(store))}{also}"
            click.confirm(f"Delete {what} from {where}? This cannot be undone.", abort=True, err=True)
        if cache is not None:  # before the chats, by whose text the replies are found
            _forget(cache, chats.said(wanted))
        purged = chats.purge(wanted)  # of none, too: text that an earlier one could not wipe goes now
        left = len(chats)
    gone = f"{of(purged.conversations, 'chat')} with {of(purged.calls, 'call')} and {of(purged.messages, 'message')}"
    print_text(f"Deleted {gone} from {printable(str(store))}; {left:,} left.")
    others = "" if cache is not None else "the cache of replies (--cache), "
    note(f"Their text may still be in {others}{MADE_OF_CHATS}, if you made any, and in backups.")


def _forget(cache: str, texts: set[str]) -> None:
    if is_directory(cache) and not Path(cache).is_dir():
        raise InputError("there is no cache", where=cache)
    with closing(open_cache(cache)) as replies:
        forgotten, found = forget(replies, texts), replies.stats()
    deleted, kept = forgotten.matching + forgotten.damaged, forgotten.foreign + found.quarantined
    count = f"{deleted:,} {'reply' if deleted == 1 else 'replies'}"
    print_text(f"Deleted {count} from {printable(found.where)}; {found.records:,} left.")
    if kept:
        note(f"{kept:,} more cannot be read, and may hold their text: `collab cache prune --unreadable` deletes them.")


logs.add_command(list_)
logs.add_command(show)
logs.add_command(personas)
