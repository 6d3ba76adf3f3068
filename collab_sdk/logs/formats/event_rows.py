"""What formats share that have one message, or another event of a chat, in each row: gathered on disk, chat by chat."""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.formats.conversation_row import LAST, Row, reported
from collab_sdk.logs.notes import noting
from collab_sdk.logs.sources import source_of
from collab_sdk.types import Conversation

_ENTRY = re.compile(r", entry \d++\Z")
_EVENTS = "CREATE TABLE events (format TEXT NOT NULL, chat TEXT NOT NULL, place TEXT NOT NULL, row TEXT NOT NULL)"
_CHATS = "SELECT format, chat, place FROM events GROUP BY format, chat ORDER BY min(rowid)"
LONGEST_CHAT = 200_000
LARGEST_CHAT = 100_000_000
"""Rows of a chat, and their characters; what is more is no chat, and is not loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFormat:
    """A log with one event of a chat in each row.

    `read` gets all rows of a chat, in the order in which they were logged, and raises InputError; it gives None where
    they only tell of a chat, and hold no message of it. `name`, `known_by` and `priority` are those of a
    `ConversationFormat`.
    """

    name: str
    known_by: str
    priority: int = LAST
    matches: Callable[[Row], bool]
    chat: Callable[[Row], str | None]
    """The id of the chat that a row belongs to; None for the one chat of its file, or of the list that it stands in."""
    read: Callable[[Sequence[Row]], Conversation | None]


class GatheredEvents:
    """Takes the rows of any number of chats, in any order, and gives the chats once all are there.

    What it keeps is in a folder that only its user can read, made for the first row and deleted by `close`.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._formats: dict[str, EventFormat] = {}

    @cached_property
    def _database(self) -> sqlite3.Connection:
        folder = Path(self._open.enter_context(TemporaryDirectory(prefix="collab-")))
        # Read by one thread at a time, which need not be the same one: a run reads logs beside its event loop.
        database = sqlite3.connect(folder / "events.db", isolation_level=None, check_same_thread=False)
        self._open.callback(database.close)
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA journal_mode = OFF")
        database.execute(_EVENTS)
        database.execute("BEGIN")
        return database

    def add(self, found: EventFormat, row: Row, *, where: str) -> None:
        self._formats[found.name] = found
        chat = found.chat(row)
        key = _list_of(where) + "\0" if chat is None else chat
        self._database.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (found.name, key, where, to_json(row)))

    def conversations(
        self, report: Callable[[InputError], None], notes: Counter[str]
    ) -> Iterator[tuple[str, Conversation]]:
        """Every conversation, with the place of its first row."""
        if not self._formats:
            return
        self._database.execute("COMMIT")
        self._database.execute("CREATE INDEX chats ON events (format, chat)")
        for name, chat, where in self._database.execute(_CHATS):
            conversation = None
            with noting(notes), reported(name, where, report):
                conversation = self._formats[name].read(self._rows(name, chat))
            if conversation:
                yield where, conversation

    def close(self) -> None:
        self._open.close()

    def _rows(self, name: str, chat: str) -> list[Row]:
        """Raises InputError for more than a chat can have."""
        of_chat = "FROM events WHERE format = ? AND chat = ?"
        [(count, size)] = self._database.execute(f"SELECT count(*), sum(length(row)) {of_chat}", (name, chat))
        if count > LONGEST_CHAT or size > LARGEST_CHAT:
            raise InputError(f"{count:,} rows of {size:,} characters without the id of another chat are not a chat")
        rows = self._database.execute(f"SELECT row {of_chat} ORDER BY rowid", (name, chat))
        return [parse_json(row) for (row,) in rows]


def _list_of(where: str) -> str:
    """The place of the list that a row stands in; of a row that stands in none, its file."""
    inside = _ENTRY.sub("", where)
    return inside if inside != where else source_of(where)
