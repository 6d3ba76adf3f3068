"""Conversations out of a log of calls: gathered in a store on disk, since one's calls may be anywhere in its files."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.call_pieces import CallPieces, from_text, to_text
from collab_sdk.logs.formats.call_row import NO_CALL, CallEntry
from collab_sdk.logs.store import ConversationStore, LoggedCall
from collab_sdk.logs.store.reading import ENDED
from collab_sdk.logs.store.store_rows import to_rows
from collab_sdk.types import Conversation

UNANSWERED = "calls without a reply, left out"
NO_MESSAGES = (
    "calls whose messages were not logged, left out (OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true in the app"
    " that is traced has OpenTelemetry log them)"
)

_BATCH = 200

_TABLES = """
CREATE TABLE halves (
    run TEXT NOT NULL, is_reply INTEGER NOT NULL, place TEXT NOT NULL, call TEXT NOT NULL, PRIMARY KEY (run, is_reply)
);
CREATE TABLE waiting (trace TEXT, is_summary INTEGER NOT NULL, call TEXT NOT NULL);
CREATE TABLE traces (trace TEXT PRIMARY KEY, conversation TEXT, answered INTEGER NOT NULL);
CREATE TABLE doubtful (
    run TEXT PRIMARY KEY,
    conversation TEXT NOT NULL,
    said BLOB NOT NULL,                 -- all that was said, up to its reply
    before BLOB,                        -- and up to the last reply in its history
    call TEXT NOT NULL
);
CREATE INDEX doubtful_said ON doubtful (said);
CREATE INDEX doubtful_conversation ON doubtful (conversation)
"""
_JOINED = """
SELECT request.call, answer.call FROM halves AS request LEFT JOIN halves AS answer
ON answer.run = request.run AND answer.is_reply WHERE NOT request.is_reply ORDER BY request.rowid"""
_WITHOUT_REQUEST = """
SELECT run, place FROM halves AS answer WHERE is_reply AND NOT EXISTS (
    SELECT 1 FROM halves AS request WHERE request.run = answer.run AND NOT request.is_reply
) ORDER BY rowid"""
_SEEN = """
INSERT INTO traces VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
SET conversation = coalesce(conversation, ?2), answered = max(answered, ?3)"""
_WAITING = """
SELECT waiting.rowid, trace, is_summary, call FROM waiting WHERE waiting.rowid > ? ORDER BY waiting.rowid LIMIT 1"""
_DOUBTFUL = """
SELECT call, before IS NOT NULL AND EXISTS (SELECT 1 FROM doubtful AS other WHERE other.said = own.before)
    AND NOT EXISTS (
        SELECT 1 FROM doubtful AS other WHERE other.conversation = own.conversation AND other.run != own.run
    )
FROM doubtful AS own ORDER BY own.rowid"""


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
    def _notes(self) -> sqlite3.Connection:
        # Read by one thread at a time, which need not be the same one: a run reads logs beside its event loop.
        notes = sqlite3.connect(self._folder / "notes.db", isolation_level=None, check_same_thread=False)
        self._open.callback(notes.close)
        notes.execute("PRAGMA synchronous = OFF")
        notes.execute("PRAGMA journal_mode = OFF")
        for statement in _TABLES.split(";"):
            notes.execute(statement)
        notes.execute("BEGIN")
        return notes

    @cached_property
    def _pieces(self) -> CallPieces:
        return CallPieces(self._notes)

    def add(self, entry: LoggedCall | CallEntry, *, where: str) -> None:
        """Raises InputError for a half of a call whose run id belongs to another one."""
        self._any = True
        if isinstance(entry, LoggedCall):
            entry = CallEntry(call=entry)
        call = entry.call
        call = replace(call, replies=tuple(reply for reply in call.replies if reply["role"] == "assistant"))
        if entry.is_piece:
            if entry.trace is not None:
                self._notes.execute(_SEEN, (entry.trace, call.conversation_id, False))
            self._pieces.add(replace(entry, call=call), where)
            return
        is_whole = bool(call.messages and call.replies) and not entry.is_answer
        if entry.trace is not None:
            self._notes.execute(_SEEN, (entry.trace, call.conversation_id, is_whole and not entry.is_summary))
        if entry.is_summary or (is_whole and entry.trace is not None and call.conversation_id is None):
            waiting = (entry.trace, entry.is_summary, to_text(call))
            self._notes.execute("INSERT INTO waiting VALUES (?, ?, ?)", waiting)
        elif is_whole and entry.id_may_be_its_own and call.conversation_id is not None:
            self._doubt(call)
        elif is_whole:
            self._record(call)
        else:
            self._keep_half(call, where)

    def conversations(self, report: Callable[[InputError], None], notes: Counter[str]) -> Iterator[Conversation]:
        """Every conversation. Replies to nothing are reported, requests without a reply counted in `notes`."""
        if not self._any:
            return
        for request, answer in self._notes.execute(_JOINED):
            if answer is None:
                notes[UNANSWERED] += 1
            else:
                self._record(_joined(from_text(request), from_text(answer)))
        for run, place in self._notes.execute(_WITHOUT_REQUEST):
            report(InputError(f"a reply to {run!r}, whose request is in none of the files", where=place))
        self._record_pieces(report, notes)
        self._record_waiting(notes)
        for text, is_its_own in self._notes.execute(_DOUBTFUL):
            call = from_text(text)
            named = {"session_id": call.conversation_id, **call.metadata}
            self._record(replace(call, conversation_id=None, metadata=named) if is_its_own else call)
        self._flush()
        yield from self._store.conversations(on_error=report, notes=notes)

    def close(self) -> None:
        self._open.close()

    def _record_pieces(self, report: Callable[[InputError], None], notes: Counter[str]) -> None:
        """Calls that were logged in pieces, then what traces without one that is answered were asked and answered."""
        for entry in self._pieces.calls():
            if entry.call.messages and entry.call.replies:
                self._record(self._named(entry, is_answered=True))
            elif entry.call.messages or entry.call.status != "ok":
                notes[UNANSWERED] += 1
            else:
                notes[NO_MESSAGES] += 1
        for entry, place, is_within in self._pieces.summaries():
            if is_within or self._is_answered(entry.trace):
                notes[NO_CALL] += 1
            elif entry.problem:
                report(InputError(entry.problem, where=place))
            elif entry.call.messages and entry.call.replies:
                self._record(self._named(entry, is_answered=False))
            else:
                notes[UNANSWERED if entry.call.messages else NO_CALL] += 1

    def _named(self, entry: CallEntry, *, is_answered: bool) -> LoggedCall:
        """The call, in the chat that another one of its trace names if it names none itself."""
        call = entry.call
        if entry.trace is not None:
            self._notes.execute(_SEEN, (entry.trace, call.conversation_id, is_answered))
            found = self._notes.execute("SELECT conversation FROM traces WHERE trace = ?", (entry.trace,)).fetchone()
            call = replace(call, conversation_id=call.conversation_id or found[0])
        return call

    def _is_answered(self, trace: str | None) -> bool:
        found = self._notes.execute("SELECT answered FROM traces WHERE trace = ?", (trace,)).fetchone()
        return bool(found and found[0])

    def _record_waiting(self, notes: Counter[str]) -> None:
        """Calls whose trace names their chat, and traces of which no call was logged."""
        last = 0
        while row := self._notes.execute(_WAITING, (last,)).fetchone():
            last, trace, is_summary, text = row
            call = from_text(text)
            found = self._notes.execute(
                "SELECT conversation, answered FROM traces WHERE trace = ?", (trace,)
            ).fetchone()
            conversation, answered = found or (None, False)
            if not is_summary:
                self._record(replace(call, conversation_id=conversation))
            elif answered:
                notes[NO_CALL] += 1
            elif not (call.messages and call.replies):
                notes[UNANSWERED] += 1
            else:
                self._record(call)
                if trace is not None:
                    self._notes.execute(_SEEN, (trace, None, True))  # a second summary of it says the same

    def _doubt(self, call: LoggedCall) -> None:
        rows = to_rows(call)
        before = next((node.said for node in reversed(rows.history) if node.role == "assistant"), None)
        self._notes.execute(
            "INSERT OR REPLACE INTO doubtful VALUES (?, ?, ?, ?, ?)",
            (call.run_id, call.conversation_id, rows.replies[0].said, before, to_text(call)),
        )

    def _keep_half(self, call: LoggedCall, where: str) -> None:
        text, key = to_text(call), (call.run_id, bool(call.replies))
        self._notes.execute("INSERT OR IGNORE INTO halves VALUES (?, ?, ?, ?)", (*key, where, text))
        [kept] = self._notes.execute("SELECT call FROM halves WHERE run = ? AND is_reply = ?", key).fetchone()
        if kept != text:
            raise InputError(f"duplicate id {call.run_id!r}; an earlier call has it")

    def _record(self, call: LoggedCall) -> None:
        if call.ended:
            call = replace(call, metadata={**call.metadata, ENDED: call.ended})
        self._waiting.append(call)
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._store.record(self._waiting)
        self._waiting = []


def _joined(request: LoggedCall, answer: LoggedCall) -> LoggedCall:
    """The call of which these are the two halves."""
    gaps = ("model", "response_id", "started", "ended", "metadata")
    known = {name: getattr(answer, name) for name in gaps if not getattr(request, name)}
    messages = (*request.messages, *answer.messages)
    return replace(
        request, messages=messages, replies=answer.replies, status=answer.status, error=answer.error, **known
    )
