"""The tables of simonw/llm since 0.32: threads that end in a tree of messages, each made of parts."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs.formats.blocks import MEDIA
from collab_sdk.logs.formats.conversation_row import check_answered, first_text, to_conversation, with_alternatives
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

_PARTS = "SELECT type, tool_name, text, payload FROM parts WHERE message_hash = ? ORDER BY position"
_SIBLINGS = "SELECT hash FROM messages WHERE parent_hash = ? AND role = 'assistant' AND hash != ? ORDER BY rowid"


def read_threads(
    database: sqlite3.Connection, file: str, report: Callable[[InputError], None]
) -> Iterator[Conversation]:
    """A conversation a thread. What other threads were answered at the same place are alternatives."""
    for thread in database.execute("SELECT id, name, tip_message_hash AS tip FROM threads ORDER BY rowid").fetchall():
        try:
            yield _conversation(database, thread)
        except InputError as error:
            report(InputError(error.problem, where=f"{file}, thread {thread['id']}"))


def _conversation(database: sqlite3.Connection, thread: sqlite3.Row) -> Conversation:
    messages: list[Message] = []
    others: dict[int, list[list[Message]]] = {}
    for row in _chain(database, thread["tip"]):
        said = _messages(database, row)
        if row["role"] == "assistant" and row["parent_hash"] and len(said) == 1:
            others[len(messages)] = _siblings(database, row)
        messages += said
    turn = database.execute(
        "SELECT model FROM turns WHERE thread_id = ? ORDER BY datetime_utc DESC, id DESC", [thread["id"]]
    ).fetchone()
    title, model = first_text(thread["name"]), first_text(turn["model"] if turn else None)
    metadata = ({"title": title} if title else {}) | ({"model": model} if model else {})
    conversation = check_answered(to_conversation({"id": thread["id"], "metadata": metadata}, tuple(messages)))
    return with_alternatives(conversation, others)


def _chain(database: sqlite3.Connection, tip: Any) -> list[sqlite3.Row]:
    """The messages up to the tip. Raises InputError where one is missing or comes twice."""
    rows: dict[str, sqlite3.Row] = {}
    while tip is not None:
        row = database.execute("SELECT hash, parent_hash, role FROM messages WHERE hash = ?", [tip]).fetchone()
        if row is None or tip in rows:
            raise InputError(f"the chain of messages breaks at {tip}")
        rows[tip] = row
        tip = row["parent_hash"]
    return list(rows.values())[::-1]


def _siblings(database: sqlite3.Connection, row: sqlite3.Row) -> list[list[Message]]:
    """Other texts that the assistant gave to the same history."""
    others = []
    for (other,) in database.execute(_SIBLINGS, [row["parent_hash"], row["hash"]]).fetchall():
        try:
            said = _messages(database, {"hash": other, "role": "assistant"})
        except InputError:  # an error of the thread that it belongs to
            continue
        others += [[message] for message in said if not message.tool_calls]
    return others


def _messages(database: sqlite3.Connection, row: sqlite3.Row | Mapping[str, Any]) -> list[Message]:
    """A message of its text and calls, after one for each result of a tool."""
    parts = [_part(database, part) for part in database.execute(_PARTS, [row["hash"]]).fetchall()]
    results = [
        Message(
            role="tool", content=first_text(part.get("output")) or "", tool_call_id=first_text(part.get("tool_call_id"))
        )
        for part in parts
        if part["type"] == "tool_result"
    ]
    calls = [_call(part) for part in parts if part["type"] == "tool_call"]
    texts = [first_text(part.get("text")) or "" for part in parts if part["type"] == "text"]
    attachments = sum(part["type"] == "attachment" for part in parts)
    note(MEDIA.format(kind="attachment"), attachments)
    texts += ["[attachment]"] * attachments
    text = "\n".join(text for text in texts if text)
    if not text and not calls:
        return results
    return [*results, Message.of({"role": row["role"], "content": text, "tool_calls": calls})]


def _part(database: sqlite3.Connection, part: sqlite3.Row) -> dict[str, Any]:
    """The fields of a part, its text put together from the fragments that it borrows."""
    payload = parse_json(part["payload"]) if part["payload"] else {}
    if not isinstance(payload, Mapping):
        raise InputError("the payload of a part is not an object")
    fields = {**payload, "type": part["type"], "name": part["tool_name"]}
    if part["text"] is not None:
        fields["text"] = part["text"]
    elif isinstance(payload.get("text_ref"), list):
        fields["text"] = "".join(_piece(database, piece) for piece in payload["text_ref"])
    return fields


def _piece(database: sqlite3.Connection, piece: Any) -> str:
    if isinstance(piece, Mapping) and isinstance(piece.get("literal"), str):
        return str(piece["literal"])
    fragment = piece.get("fragment") if isinstance(piece, Mapping) else None
    found = database.execute("SELECT content FROM fragments WHERE id = ?", [_row_id(fragment)]).fetchone()
    return first_text(found["content"] if found else None) or ""


def _row_id(value: Any) -> int | str | None:
    """The id if a row may have it: what SQLite cannot hold would end the reading of all threads."""
    return value if isinstance(value, str) or (isinstance(value, int) and abs(value) < 1 << 63) else None


def _call(part: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = part.get("arguments")
    text = arguments if isinstance(arguments, str) else to_json(arguments or {})
    name = first_text(part.get("name"))
    return {"id": first_text(part.get("tool_call_id")), "function": {"name": name, "arguments": text}}
