"""Calls that are logged in pieces, as a span and its events: gathered on disk, as they may be anywhere in the files."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.formats.call_row import CallEntry
from collab_sdk.logs.store import LoggedCall

_PIECES = """
CREATE TABLE pieces (
    run TEXT NOT NULL, trace TEXT, is_summary INTEGER NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
    place TEXT NOT NULL, problem TEXT, digest BLOB, call TEXT NOT NULL, UNIQUE (run, digest)
)"""
_CALLS = "SELECT run, trace FROM pieces GROUP BY run HAVING NOT max(is_summary) ORDER BY min(rowid)"
_SUMMARIES = """
SELECT run, trace, min(started), max(ended), max(problem), min(place) FROM pieces
GROUP BY run HAVING max(is_summary) ORDER BY trace, min(started), max(ended) DESC, min(rowid)"""
_RUN = "SELECT call FROM pieces WHERE run = ? ORDER BY started, rowid"


class CallPieces:
    """The pieces of any number of calls, in tables of their own in a database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute(_PIECES)

    def add(self, entry: CallEntry, where: str) -> None:
        """A piece with a time that is there already, as where a trace was exported twice, is left out."""
        call = entry.call
        text = to_text(call)
        digest = hashlib.sha256(text.encode()).digest() if call.started else None
        about = (call.run_id, entry.trace, entry.is_summary, call.started, call.ended, where, entry.problem)
        self._database.execute(
            "INSERT OR IGNORE INTO pieces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*about, digest, text)
        )

    def calls(self) -> Iterator[CallEntry]:
        """Every call, in the order of their first pieces."""
        for run, trace in self._database.execute(_CALLS):
            yield CallEntry(call=self._joined(run), trace=trace)

    def summaries(self) -> Iterator[tuple[CallEntry, str, bool]]:
        """What traces were asked and answered, each with its place, and whether it lies within another of its trace."""
        around: tuple[str | None, float] | None = None
        for run, trace, started, ended, problem, place in self._database.execute(_SUMMARIES):
            call = self._joined(run)
            is_within = around is not None and around[0] == trace and started <= around[1]
            if not is_within and call.messages and call.replies:
                around = (trace, ended)
            yield CallEntry(call=call, trace=trace, is_summary=True, problem=problem), place, is_within

    def _joined(self, run: str) -> LoggedCall:
        """The call of these pieces: the first that has messages and replies, else what all say in their order."""
        pieces = [from_text(text) for (text,) in self._database.execute(_RUN, (run,))]
        whole = next((piece for piece in pieces if piece.messages and piece.replies), None)
        said = [whole] if whole else pieces
        gaps = ("conversation_id", "model", "error", "parameters", "tools", "metadata", "response_id")
        known = {name: found for name in gaps if (found := _first(getattr(piece, name) for piece in pieces))}
        return replace(
            whole or pieces[0],
            messages=tuple(message for piece in said for message in piece.messages),
            replies=tuple(reply for piece in said for reply in piece.replies),
            status=next((piece.status for piece in pieces if piece.status != "ok"), "ok"),
            started=min((piece.started for piece in pieces if piece.started), default=0.0),
            ended=max(piece.ended for piece in pieces),
            **known,
        )


def to_text(call: LoggedCall) -> str:
    return to_json({field.name: getattr(call, field.name) for field in fields(call)})


def from_text(text: str) -> LoggedCall:
    values = parse_json(text)
    call: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return LoggedCall(**call)


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value), None)
