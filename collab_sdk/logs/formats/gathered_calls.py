"""Conversations out of a log of calls: gathered in a store on disk, since one's calls may be anywhere in its files."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.store import ConversationStore, LoggedCall
from collab_sdk.types import Conversation

UNANSWERED = "calls without a reply, left out"

_BATCH = 200

_HALVES = """
CREATE TABLE halves (
    run TEXT NOT NULL, is_reply INTEGER NOT NULL, place TEXT NOT NULL, call TEXT NOT NULL, PRIMARY KEY (run, is_reply)
)"""
_JOINED = """
SELECT request.call, answer.call FROM halves AS request LEFT JOIN halves AS answer
ON answer.run = request.run AND answer.is_reply WHERE NOT request.is_reply ORDER BY request.rowid"""
_WITHOUT_REQUEST = """
SELECT run, place FROM halves AS answer WHERE is_reply AND NOT EXISTS (
    SELECT 1 FROM halves AS request WHERE request.run = answer.run AND NOT request.is_reply
) ORDER BY rowid"""


class GatheredCalls:
    """Takes the calls of any number of rows, in any order, and gives their conversations once all are there.

    What it keeps is in a folder that only its user can read, made for the first call and deleted by `close`.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._any = False
        self._waiting: list[LoggedCall] = []

    @cached_property
    def _folder(self) -> Path:
        return Path(self._open.enter_context(TemporaryDirectory(prefix="collab-")))

    @cached_property
    def _store(self) -> ConversationStore:
        store = ConversationStore(self._folder / "calls.db")
        self._open.callback(store.close)
        return store

    @cached_property
    def _halves(self) -> sqlite3.Connection:
        # Read by one thread at a time, which need not be the same one: a run reads logs beside its event loop.
        halves = sqlite3.connect(self._folder / "halves.db", isolation_level=None, check_same_thread=False)
        self._open.callback(halves.close)
        halves.execute("PRAGMA synchronous = OFF")
        halves.execute(_HALVES)
        return halves

    def add(self, call: LoggedCall, *, where: str) -> None:
        """Raises InputError for a half of a call whose run id belongs to another one."""
        self._any = True
        call = replace(call, replies=tuple(reply for reply in call.replies if reply["role"] == "assistant"))
        if call.messages and call.replies:
            self._record(call)
        else:
            self._keep_half(call, where)

    def conversations(self, report: Callable[[InputError], None], notes: Counter[str]) -> Iterator[Conversation]:
        """Every conversation. Replies to nothing are reported, requests without a reply counted in `notes`."""
        if not self._any:
            return
        for request, answer in self._halves.execute(_JOINED):
            if answer is None:
                notes[UNANSWERED] += 1
            else:
                self._record(replace(_call(request), replies=_call(answer).replies))
        for run, place in self._halves.execute(_WITHOUT_REQUEST):
            report(InputError(f"a reply to {run!r}, whose request is in none of the files", where=place))
        self._flush()
        yield from self._store.conversations(on_error=report, notes=notes)

    def close(self) -> None:
        self._open.close()

    def _keep_half(self, call: LoggedCall, where: str) -> None:
        half = {field.name: getattr(call, field.name) for field in fields(call)}
        text, key = to_json(half), (call.run_id, bool(call.replies))
        self._halves.execute("INSERT OR IGNORE INTO halves VALUES (?, ?, ?, ?)", (*key, where, text))
        [kept] = self._halves.execute("SELECT call FROM halves WHERE run = ? AND is_reply = ?", key).fetchone()
        if kept != text:
            raise InputError(f"duplicate id {call.run_id!r}; an earlier call has it")

    def _record(self, call: LoggedCall) -> None:
        self._waiting.append(call)
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._store.record(self._waiting)
        self._waiting = []


def _call(text: str) -> LoggedCall:
    values = parse_json(text)
    half: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return LoggedCall(**half)
