"""Calls without an id that are beside a chat: a title, a guard, a judge.

They go on from nothing, so they would be chats of their own. What tells is that they quote what a chat has just said,
or are sent its very message under another system prompt, at about the same time and for the same user.
"""

import sqlite3
from collections.abc import Iterator, Sequence

from collab_sdk.logs.store.agreement import plain, quotes
from collab_sdk.logs.store.conversations import move
from collab_sdk.logs.store.messages import SpokenMessage, spoken, upward

NEAR = 120.0
"""Seconds between a chat and what the app asks models about it, at most."""
LOOKED_AT = 8
"""Calls, and chats, the latest first."""
EXCHANGES = 6
"""How many of the last messages of a chat are looked for in a call."""
WORDS = 3
"""A message that is shorter may be that of many chats."""

_CHATS = """
    SELECT conversations.id, (SELECT id FROM calls WHERE conversation = conversations.id ORDER BY ended DESC LIMIT 1)
    FROM conversations WHERE active BETWEEN ?1 AND ?2 AND id != ?3 ORDER BY active DESC LIMIT ?4
"""
_ALONE = """
    SELECT id, history FROM calls WHERE ended BETWEEN ?1 AND ?2 AND named = 0 AND anchor IS NULL AND follows IS NULL
    AND last IS NULL AND user IS ?3 AND conversation != ?4 AND previous IS NULL
    AND NOT EXISTS (SELECT 1 FROM calls AS other WHERE other.conversation = calls.conversation AND other.id != calls.id)
    ORDER BY ended DESC LIMIT ?5
"""


def settle(db: sqlite3.Connection, call: int) -> None:
    """Put a new call beside the chat that it is about, or those that are about it beside it."""
    columns = "SELECT conversation, history, user, ended FROM calls WHERE id = ?"
    conversation, history, user, ended = db.execute(columns, (call,)).fetchone()
    around = (ended - NEAR, ended + NEAR)
    alone = db.execute(_ALONE, (*around, user, 0, LOOKED_AT)).fetchall()
    if not alone:
        return
    said = spoken(db, history)
    if any(id == call for id, _ in alone):
        for chat, last in db.execute(_CHATS, (*around, conversation, LOOKED_AT)).fetchall():
            if _is_beside(db, said, history, last, user):
                _put(db, call, last, chat)
                return
    for id, sent in alone:
        if id != call and _is_beside(db, spoken(db, sent), sent, call, user):
            _put(db, id, call, conversation)


def _put(db: sqlite3.Connection, call: int, beside: int, conversation: int) -> None:
    db.execute("UPDATE calls SET follows = ? WHERE id = ?", (beside, call))
    move(db, call, conversation)


def _is_beside(
    db: sqlite3.Connection, said: Sequence[SpokenMessage], sent: int | None, chat: int | None, user: str | None
) -> bool:
    """Whether a call that was sent `said` is about what the call `chat` says."""
    found = db.execute("SELECT history, user FROM calls WHERE id = ?", (chat,)).fetchone()
    if not said or found is None or found[1] != user:
        return False
    known = spoken(db, found[0])[-EXCHANGES:]
    asked = plain(said[-1].body)
    if known and known[-1].own == said[-1].own and len(asked.split()) > WORDS:
        return _prompt(db, sent) != _prompt(db, found[0])
    texts = [plain(message.body) for message in known] + list(_replies(db, chat))
    return quotes([asked], [text for text in texts if text])


def _replies(db: sqlite3.Connection, call: int | None) -> Iterator[str]:
    for [message] in db.execute("SELECT message FROM replies WHERE call = ?", (call,)).fetchall():
        yield plain(spoken(db, message)[-1].body)


def _prompt(db: sqlite3.Connection, history: int | None) -> bytes | None:
    """`own` of the system prompt that a history begins with."""
    first = list(upward(db, history))[-1:]
    found = db.execute("SELECT own FROM messages WHERE id = ? AND role = 'system'", first or [None]).fetchone()
    return found[0] if found else None
