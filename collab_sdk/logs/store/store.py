"""The store as its users see it."""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from collab_sdk.errors import InputError, StoreError, UsageError
from collab_sdk.logs.store.call import LoggedCall
from collab_sdk.logs.store.database import Database, damage
from collab_sdk.logs.store.imports import as_calls, check_same_chat
from collab_sdk.logs.store.purging import Purge, Purged, count_purge, delete, read_said
from collab_sdk.logs.store.reading import read_call, read_conversation
from collab_sdk.logs.store.rebuilding import Rebuilt
from collab_sdk.logs.store.schema import UnusableError
from collab_sdk.logs.store.store_rows import to_rows
from collab_sdk.logs.store.tree import Tree, read_tree
from collab_sdk.logs.store.writing import write_call
from collab_sdk.types import Conversation

Report = Callable[[InputError], None]

SIDE_CALLS = "calls beside the chats (titles, guards, sub-agents), left out"
AMID = "chats that begin amid a history, as nothing says which calls came before"
LEFT_OUT = "answers on branches that the chats did not go on with, left out"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredChat:
    """A conversation as a listing shows it."""

    id: str
    sources: tuple[str, ...]
    models: tuple[str, ...]
    users: tuple[str, ...]
    turns: int
    """Assistant turns of the chat."""
    calls: int
    side_calls: int
    """Calls beside the chat: titles, guards, sub-agents."""
    left_out: int
    """Answers to the person that the chat has not: on branches that were left, or that nothing joins to it."""
    failed: tuple[str, ...]
    """Why calls failed or were cancelled, one text each."""
    last_active: float
    """Unix seconds."""


class ConversationStore:
    """Conversations of running apps in one SQLite file, which any number of processes and threads may share.

    What `record` was handed survives a crash once it returns. Messages are stored once, whatever the number of calls
    that had them in their history. The file is 0600, and its folder, if it is made here, 0700.
    """

    def __init__(self, path: str | os.PathLike[str], *, patience: float = 30.0) -> None:
        """`patience`: seconds to wait while others write. Raises StoreError for a file that is no store, or broken."""
        self._database = Database(path, patience=patience)

    def record(self, calls: Sequence[LoggedCall]) -> None:
        """Store calls, all of them or none. A run that is known is not stored twice. Raises StoreError."""
        rows = [to_rows(call) for call in calls]
        with self._database.writing() as db:
            for row in rows:
                write_call(db, row)

    def add(
        self, conversations: Iterable[Conversation], *, imported: float | None = None, on_error: Report | None = None
    ) -> int:
        """Store conversations read from logs, and return how many; those that are known stay as they are.

        `imported` (Unix seconds, by default now) is taken for their time where the log does not tell it. A conversation
        whose id another chat has raises InputError or, with `on_error`, is handed to it and skipped.
        """
        when = time.time() if imported is None else imported
        prepared = [(chat, [to_rows(call) for call in as_calls(chat, imported=when)]) for chat in conversations]
        added = 0
        with self._database.writing() as db:
            for conversation, rows in prepared:
                try:
                    check_same_chat(db, conversation)
                except InputError as error:
                    (on_error or _raise)(error)
                    continue
                for row in rows:
                    write_call(db, row)
                added += 1
        return added

    def conversations(
        self, *, on_error: Report | None = None, notes: Counter[str] | None = None
    ) -> Iterator[Conversation]:
        """The conversations in which an assistant spoke, in the order they were first seen, read one by one.

        Each is what the person said and saw, rebuilt from all its calls, with the other replies along it as
        alternatives. What is stored and no part of a chat is counted in `notes`, under its words. One that cannot be
        read raises InputError or, with `on_error`, is handed to it and skipped. Raises StoreError.
        """
        last: int | None = 0
        while last is not None:
            last, read = self._next(last, on_error or _raise)
            if read is None:
                continue
            conversation, rebuilt = read
            if notes is not None:
                _note(notes, rebuilt)
            if conversation is not None:
                yield conversation

    def get(self, conversation: str) -> Conversation | None:
        """The conversation with this id; None where no assistant spoke. Raises StoreError for an unknown id."""
        with self._database.reading() as db:
            return self._read(db, self._named(db, conversation))[1][0]

    def side_calls(self, conversation: str) -> tuple[LoggedCall, ...]:
        """The calls beside a chat: what the app asked models besides. Raises StoreError for an unknown id."""
        with self._database.reading() as db:
            _, (_, rebuilt) = self._read(db, self._named(db, conversation))
            return tuple(read_call(db, call.id) for call in rebuilt.side_calls)

    def describe(self, conversation: str) -> StoredChat:
        """Raises StoreError for an unknown id."""
        with self._database.reading() as db:
            row = self._named(db, conversation)
            return _describe(row, *self._read(db, row))

    def listing(self, *, limit: int | None = None, on_error: Report | None = None) -> Iterator[StoredChat]:
        """What the store holds, the latest first."""
        with self._database.reading() as db:
            latest_first = "SELECT id FROM conversations ORDER BY active DESC, id DESC LIMIT ?"
            found = db.execute(latest_first, (-1 if limit is None else limit,)).fetchall()
        for [id] in found:
            try:
                with self._database.reading() as db:
                    row = _find(db, _BY_ID, id)
                    described = _describe(row, *self._read(db, row)) if row else None
            except InputError as error:
                (on_error or _raise)(error)
                continue
            if described is not None:  # else it has been purged since
                yield described

    def __len__(self) -> int:
        """Conversations, those without any reply included."""
        with self._database.reading() as db:
            return int(db.execute("SELECT count(*) FROM conversations").fetchone()[0])

    def add_unrecorded(self, calls: Mapping[str, int]) -> None:
        """Count calls that could not be recorded, by reason."""
        with self._database.writing() as db:
            db.executemany(_COUNT_UNRECORDED, list(calls.items()))

    def unrecorded(self) -> dict[str, int]:
        """The calls of apps that looked like chat and could not be recorded, by reason."""
        with self._database.reading() as db:
            return {str(reason): int(calls) for reason, calls in db.execute("SELECT reason, calls FROM unrecorded")}

    def count_purge(self, purge: Purge) -> Purged:
        """What `purge` would delete."""
        _check(purge)
        with self._database.reading() as db:
            return count_purge(db, purge)

    def said(self, purge: Purge) -> set[str]:
        """What users say in the chats that `purge` would delete, and in no other, by which it is found elsewhere."""
        _check(purge)
        with self._database.writing() as db:
            return read_said(db, purge)

    def purge(self, purge: Purge) -> Purged:
        """Delete conversations from every table, and their text from the file and all beside it.

        Raises StoreError; if it says that only the rewriting failed, a further purge tries that again.
        """
        _check(purge)
        with self._database.writing() as db:
            purged = delete(db, purge)
        self._database.compact()
        return purged

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self, last: int, report: Report) -> tuple[int | None, "_Read | None"]:
        with self._database.reading() as db:
            row = _find(db, _NEXT, last)
            if row is None:
                return None, None
            if row.id <= last:  # or a damaged index would be read for ever
                raise UnusableError("it is damaged (its conversations are out of order): restore a copy")
            try:
                return row.id, self._read(db, row)[1]
            except InputError as error:
                problem = error
        report(problem)
        return row.id, None

    def _named(self, db: sqlite3.Connection, name: str) -> "_Row":
        row = _find(db, _BY_NAME, name.encode("utf-8", "replace").decode())
        if row is None:
            raise StoreError(f"The store {self._database.path} has no conversation {name!r}.")
        return row

    def _read(self, db: sqlite3.Connection, row: "_Row") -> tuple[Tree, "_Read"]:
        """Raises InputError for what no chat can have, and for what only a damaged file can."""
        try:
            tree = read_tree(db, row.id)
            return tree, read_conversation(db, tree)
        except Exception as error:
            problem = error.problem if isinstance(error, InputError) else damage(error)
            if problem is None:
                raise
            raise InputError(problem, where=f"{self._database.path}, conversation {row.name!r}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A conversation's own row."""

    id: int
    name: str
    active: float


_Read = tuple[Conversation | None, Rebuilt]
_COUNT_UNRECORDED = """
    INSERT INTO unrecorded (reason, calls) VALUES (?, ?)
    ON CONFLICT (reason) DO UPDATE SET calls = calls + excluded.calls
"""
_BY_ID = "SELECT id, CAST(name AS BLOB), active FROM conversations WHERE id = ?"
_BY_NAME = "SELECT id, CAST(name AS BLOB), active FROM conversations WHERE name = ?"
_NEXT = "SELECT id, CAST(name AS BLOB), active FROM conversations WHERE id > ? ORDER BY id LIMIT 1"


def _find(db: sqlite3.Connection, query: str, value: object) -> _Row | None:
    found = db.execute(query, (value,)).fetchone()
    if found is None:
        return None
    id, name, active = found
    readable = bytes(name or b"").decode("utf-8", "replace")
    return _Row(id=id, name=readable, active=active if isinstance(active, float) else 0.0)


def _describe(row: _Row, tree: Tree, read: _Read) -> StoredChat:
    conversation, rebuilt = read

    def distinct(values: Iterable[str | None]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for value in values if value))

    return StoredChat(
        id=row.name,
        sources=distinct(call.source for call in tree.calls),
        models=distinct(call.model for call in tree.calls),
        users=distinct(call.user for call in tree.calls),
        turns=sum(1 for _ in conversation.turns()) if conversation else 0,
        calls=len(tree.calls),
        side_calls=len(rebuilt.side_calls),
        left_out=rebuilt.left_out,
        failed=tuple(call.error or call.status for call in tree.calls if call.status in ("failed", "cancelled")),
        last_active=max((call.ended for call in tree.calls), default=row.active),
    )


def _note(notes: Counter[str], rebuilt: Rebuilt) -> None:
    if rebuilt.side_calls:
        notes[SIDE_CALLS] += len(rebuilt.side_calls)
    if rebuilt.begins_amid:
        notes[AMID] += 1
    if rebuilt.left_out:
        notes[LEFT_OUT] += rebuilt.left_out


def _check(purge: Purge) -> None:
    if purge.before is None and purge.conversation is None and purge.user is None:
        raise UsageError("A purge needs to be told what goes: an age, a conversation or a user.")


def _raise(error: InputError) -> None:
    raise error
