"""`collab logs purge`."""

import time
from pathlib import Path

import click

from collab_cli.logs_store import CHANGED_STORE
from collab_cli.params import Command, Number, option
from collab_cli.terminal import printable
from collab_cli.units import of
from collab_sdk.harvest import salted_user
from collab_sdk.logs import ConversationStore, Purge

SECONDS_A_DAY = 86_400


@click.command(cls=Command)
@CHANGED_STORE
@option("--older-than", type=Number(min=0), metavar="DAYS", help="Chats whose last call is that old.")
@option("--conversation", metavar="ID", help="The chat with this id.")
@option("--user", metavar="ID", help="Chats of this user, by the id that list shows or, with --salt, their own.")
@option("--salt", metavar="TEXT", help="What the app hashes user ids with.")
@option("--yes", is_flag=True, help="Do not ask first.")
def purge(
    store: Path, older_than: float | None, conversation: str | None, user: str | None, salt: str | None, yes: bool
) -> None:
    """Delete chats for good, by age, id or user.

    Their text is gone from the file and those beside it, but for messages that other chats share. Of several
    options, all must fit.

    \b
      collab logs purge --store chats.db --older-than 90
      collab logs purge --store chats.db --user 4711 --yes
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
            click.confirm(f"Delete {what} from {printable(str(store))}? There is no way back.", abort=True, err=True)
        purged = chats.purge(wanted)  # of none, too: text that an earlier one could not wipe goes now
        left = len(chats)
    gone = f"{of(purged.conversations, 'chat')} with {of(purged.calls, 'call')} and {of(purged.messages, 'message')}"
    click.echo(f"Deleted {gone} from {printable(str(store))}; {left:,} left.")
