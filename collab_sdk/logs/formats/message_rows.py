"""One message a row, gathered by the id of its chat: tables of apps, Assistants' threads, Open Assistant's messages,
LangChain's and n8n's message stores.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import to_json
from collab_sdk.logs.formats.chat_value import CHAT_IDS, chat_of_row, id_of, in_order, written_value
from collab_sdk.logs.formats.conversation_row import Row, to_conversation
from collab_sdk.logs.formats.event_rows import EventFormat
from collab_sdk.logs.formats.logged_messages import read_messages
from collab_sdk.logs.formats.message_tree import Node, read_tree
from collab_sdk.logs.formats.spellings import ROLES, plain
from collab_sdk.logs.formats.times import time_of
from collab_sdk.types import Conversation

_FLAGS = ("is_user", "is_bot", "is_human", "is_from_user")
_SPEAKERS = ("role", "sender", "speaker", "author", "from", "sender_type", "author_role", "message_type", *_FLAGS)
_TEXTS = (
    "content",
    "text",
    "message",
    "parts",
    "value",
    "body",
    "utterance",
    "msg",
    "message_text",
    "message_content",
    "mes",
)
_ORDERS = (
    *("index", "message_index", "turn_index", "position", "seq", "sequence", "order", "message_number", "turn_number"),
    *("turn", "turn_id", "step"),
)
_OWN_IDS, _PARENTS = ("message_id", "id", "uuid", "msg_id"), ("parent_id", "parent_message_id", "parent_uuid", "parent")
_HOLDS = re.compile(
    r"""\s*(?:\{\s*["'](?:type|role|content|data|text)["']|\[\s*\{\s*["'](?:type|id|function|text)["'])"""
)
"""Text that is a message, blocks or calls, as JSON or as Python shows them."""


def _matches(row: Row) -> bool:
    spelled = {plain(key): value for key, value in row.items()}
    if not any(spelled.get(key) is not None for key in _TEXTS):
        return False
    if chat_of_row(row) is not None:
        inner = _inner(spelled)
        return inner is not None or any(isinstance(spelled.get(key), str | bool | int) for key in _SPEAKERS)
    named = any(isinstance(spelled.get(key), str) and plain(spelled[key]) in ROLES for key in _SPEAKERS)
    return named or any(spelled.get(key) in (True, False, "True", "False", "true", "false") for key in _FLAGS)


def _read(rows: Sequence[Row]) -> Conversation | None:
    chat = chat_of_row(rows[0])
    if chat is None:
        raise InputError(
            "one message a row, and no conversation_id, session_id or the like that tells of which chat; "
            "put each chat in a row, or an id in each"
        )
    # A row that is exported twice is one; without an id of its own, it may have been said twice.
    rows = list({to_json(row) if _own_id(row) else str(place): row for place, row in enumerate(rows)}.values())
    tree = read_tree(nodes) if (nodes := _tree(rows)) else None
    rows = rows if tree else _ordered(rows)
    last = next(row for row in rows if tree.path[-1] == _own_id(row)) if tree and tree.path else rows[-1]
    kept = {key: value for key, value in last.items() if plain(key) in ("model", "model_name", "lang", "language")}
    about = {key: value for key, value in last.items() if time_of({key: value})}
    about |= {**kept, "id": chat}
    return tree.conversation(about) if tree else to_conversation(about, read_messages(list(map(_message, rows))))


def _message(row: Row) -> Mapping[str, Any]:
    """The row as a message, with what it holds as JSON text."""
    spelled = {plain(key): value for key, value in row.items()}
    if (inner := _inner(spelled)) is not None:
        return inner
    held = {key: value for key, value in row.items() if plain(key) not in ("id", *CHAT_IDS)}
    return {key: _unpacked(value) if plain(key) in (*_TEXTS, "tool_calls") else value for key, value in held.items()}


def _inner(spelled: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The message that a row holds whole, as LangChain's stores do."""
    inner = _unpacked(spelled.get("message"))
    if not isinstance(inner, Mapping) or any(isinstance(spelled.get(key), str) for key in _SPEAKERS):
        return None
    return inner if any(key in inner for key in ("role", "type", "from")) else None


def _unpacked(value: Any) -> Any:
    if isinstance(value, str) and _HOLDS.match(value):
        try:
            return written_value(value)
        except InputError:
            return value
    return value


def _ordered(rows: list[Row]) -> list[Row]:
    """The rows by their number, else by their time, where all have one."""
    spelled = [{plain(key): value for key, value in row.items()} for row in rows]
    for key in _ORDERS:
        numbers = [number for row in spelled if (number := _number(row.get(key))) is not None]
        if len(numbers) == len(rows):
            return _sorted(rows, numbers)
    rows = in_order(rows)
    times = [time for time in map(time_of, rows) if time is not None]
    return _sorted(rows, times) if len(times) == len(rows) else rows


def _number(value: Any) -> float | None:
    """A number, or its text, as a table of texts has it."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _sorted(rows: list[Row], keys: list[float]) -> list[Row]:
    return [rows[place] for place in sorted(range(len(rows)), key=lambda place: keys[place])]


def _tree(rows: Sequence[Row]) -> list[Node]:
    """The rows as a tree, where each but one names the row that it answers."""
    nodes = []
    for row in rows:
        own, parent = _own_id(row), id_of(row, _PARENTS)
        if own is None:
            return []
        rank = row.get("rank")
        nodes.append(
            Node(id=own, parent=parent, message=_message(row), rank=rank if isinstance(rank, int | float) else None)
        )
    known = {node.id for node in nodes}
    answering = sum(node.parent in known for node in nodes)
    return nodes if answering and answering == len(nodes) - 1 else []


def _own_id(row: Row) -> str | None:
    return id_of(row, _OWN_IDS)


MESSAGE_ROWS = EventFormat(
    name="message-rows",
    priority=170,
    known_by="role, content and conversation_id",
    matches=_matches,
    chat=chat_of_row,
    read=_read,
)
