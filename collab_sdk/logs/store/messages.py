"""The tree of messages: each is stored once, and goes when nothing refers to it any more."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.store.chain import Node

_BRANCHES = """
    WITH RECURSIVE branch (id) AS (
        SELECT history FROM calls WHERE conversation = ?1 AND history IS NOT NULL
        UNION SELECT lead FROM calls WHERE conversation = ?1 AND lead IS NOT NULL
        UNION SELECT shown FROM calls WHERE conversation = ?1 AND shown IS NOT NULL
        UNION SELECT message FROM replies JOIN calls ON calls.id = replies.call WHERE conversation = ?1
        UNION SELECT parent FROM messages JOIN branch USING (id) WHERE parent IS NOT NULL
    ) SELECT id, parent, said, own, role, body FROM branch JOIN messages USING (id)
"""

# Of a damaged file that goes in a circle, only what lies above by its own depth.
_SPOKEN = """
    WITH RECURSIVE up (id, parent, depth) AS (
        SELECT id, parent, depth FROM messages WHERE id = ?1
        UNION ALL SELECT above.id, above.parent, above.depth FROM messages AS above
        JOIN up ON above.id = up.parent AND above.depth < up.depth
    ) SELECT own, said, role, body FROM up JOIN messages USING (id) WHERE role != 'system' LIMIT ?2
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMessage:
    id: int
    parent: int | None
    said: bytes
    own: bytes
    role: str
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenMessage:
    """A message that is no system prompt."""

    own: bytes
    said: bytes
    role: str
    body: Mapping[str, Any]


def branches(db: sqlite3.Connection, conversation: int) -> Iterator[StoredMessage]:
    """The messages of a conversation, whichever branch they are on."""
    for id, parent, said, own, role, body in db.execute(_BRANCHES, (conversation,)).fetchall():
        yield StoredMessage(id=id, parent=parent, said=said, own=own, role=role, body=body)


def keep(db: sqlite3.Connection, nodes: Sequence[Node], *, below: int | None = None) -> int | None:
    """The id of the last node, once all are stored, the first of them `below` a message."""
    known = len(nodes)
    parent, depth = below, _depth(db, below)
    while known:  # from the end: all of a history but its last messages is stored as a rule
        found = db.execute("SELECT id FROM messages WHERE hash = ?", (nodes[known - 1].hash,)).fetchone()
        if found is not None:
            parent, depth = found[0], depth + known
            break
        known -= 1
    for number, node in enumerate(nodes[known:], start=depth + 1):
        added = db.execute(
            "INSERT INTO messages (parent, hash, depth, body, role, own, said, spoken) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (parent, node.hash, number, node.body, node.role, node.own, node.said, node.spoken),
        )
        parent = added.lastrowid
    return parent


def keep_tools(db: sqlite3.Connection, tools: Node | None) -> int | None:
    if tools is None:
        return None
    found = db.execute("SELECT id FROM toolsets WHERE hash = ?", (tools.hash,)).fetchone()
    if found is not None:
        return int(found[0])
    return db.execute("INSERT INTO toolsets (hash, body) VALUES (?, ?)", (tools.hash, tools.body)).lastrowid


def ancestry(db: sqlite3.Connection, messages: Iterable[int | None]) -> list[int]:
    """The ids of the messages and of all above them."""
    found: dict[int, None] = {}
    for message in messages:
        found |= dict.fromkeys(upward(db, message))
    return list(found)


def upward(db: sqlite3.Connection, message: int | None) -> Iterator[int]:
    """A message and all above it; of a damaged file that goes in a circle, each once."""
    seen: set[int] = set()
    while message is not None and message not in seen:
        seen.add(message)
        yield message
        [message] = db.execute("SELECT parent FROM messages WHERE id = ?", (message,)).fetchone() or (None,)


def spoken(db: sqlite3.Connection, message: int | None, *, last: int = -1) -> list[SpokenMessage]:
    """The messages up to one, without system prompts, or the `last` of them. Raises InputError for odd rows."""
    found = [
        SpokenMessage(own=own, said=said, role=role, body=as_object(body))
        for own, said, role, body in db.execute(_SPOKEN, (message, last)).fetchall()
    ]
    return found[::-1]


def as_object(text: str) -> dict[str, Any]:
    """The object of JSON text. Raises InputError."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise InputError("what is stored is not an object; the file was damaged or changed")
    return value


def drop_unused(db: sqlite3.Connection, messages: Iterable[int]) -> int:
    """Delete those of the messages that no call and no other message refers to; returns how many."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS doubtful (id INTEGER PRIMARY KEY, depth INTEGER)")
    db.execute("DELETE FROM doubtful")
    db.executemany(
        "INSERT OR IGNORE INTO doubtful SELECT id, depth FROM messages WHERE id = ?", ((id,) for id in messages)
    )
    dropped = 0
    for [depth] in db.execute("SELECT DISTINCT depth FROM doubtful ORDER BY depth DESC").fetchall():
        dropped += db.execute(
            """DELETE FROM messages WHERE id IN (SELECT id FROM doubtful WHERE depth = ?)
               AND NOT EXISTS (SELECT 1 FROM messages AS next WHERE next.parent = messages.id)
               AND NOT EXISTS (SELECT 1 FROM calls WHERE history = messages.id)
               AND NOT EXISTS (SELECT 1 FROM calls WHERE lead = messages.id)
               AND NOT EXISTS (SELECT 1 FROM calls WHERE shown = messages.id)
               AND NOT EXISTS (SELECT 1 FROM replies WHERE message = messages.id)""",
            (depth,),
        ).rowcount
    return dropped


def drop_unused_tools(db: sqlite3.Connection, toolsets: Iterable[int | None]) -> None:
    unused = "DELETE FROM toolsets WHERE id = ? AND NOT EXISTS (SELECT 1 FROM calls WHERE toolset = toolsets.id)"
    db.executemany(unused, [(toolset,) for toolset in toolsets])


def _depth(db: sqlite3.Connection, message: int | None) -> int:
    if message is None:
        return 0
    return int(db.execute("SELECT depth FROM messages WHERE id = ?", (message,)).fetchone()[0])
