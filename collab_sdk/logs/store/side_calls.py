"""Calls without an id that are beside a chat: a title, a guard, a judge.

They go on from nothing, so they would be chats of their own. What tells is that they quote what a chat has just said,
or are sent its very message under another system prompt, at about the same time and for the same user.
"""

import re
import sqlite3
from collections.abc import Iterator

from collab_sdk.logs.store.agreement import plain, quotes
from collab_sdk.logs.store.chain import own_hash
from collab_sdk.logs.store.conversations import move
from collab_sdk.logs.store.messages import SpokenMessage, spoken

NEAR = 120.0
"""Seconds between a chat and what the app asks models about it, at most."""
LOOKED_AT = 8
"""Calls, and chats, the latest first."""
LATEST = 3
"""Calls of a chat that another may be about; those that are beside it already are none."""
QUOTED = 50
"""Lines at the end of a message that may each be an answer of a chat's."""
EXCHANGES = 6
"""How many of the last messages of a chat are looked for in a call."""
WORDS = 3
"""A message that is shorter may be that of many chats."""

_LABEL = re.compile(r"^[ \t]*[\w ]{1,20}[:>][ \t]*")
_CHATS = """
    SELECT id FROM conversations WHERE active BETWEEN ?1 AND ?2 AND id != ?3 ORDER BY active DESC LIMIT ?4
"""
_SAYING = """
    SELECT calls.id, calls.conversation FROM replies JOIN calls ON calls.id = replies.call
    WHERE replies.own = ? AND replies.user IS ? AND replies.ended BETWEEN ? AND ? ORDER BY replies.ended DESC LIMIT 1
"""
_LAST = """
    SELECT id FROM calls WHERE conversation = ? AND NOT is_side
    AND (named OR follows IS NULL OR anchor IS NOT NULL OR previous IS NOT NULL) ORDER BY ended DESC LIMIT ?
"""
_ALONE = """
    SELECT id FROM calls WHERE ended BETWEEN ?1 AND ?2 AND named = 0 AND anchor IS NULL AND follows IS NULL
    AND last IS NULL AND user IS ?3 AND previous IS NULL
    AND NOT EXISTS (SELECT 1 FROM calls AS other WHERE other.conversation = calls.conversation AND other.id != calls.id)
    ORDER BY ended DESC LIMIT ?4
"""

_BEFORE = """
    SELECT before.id, replies.message FROM calls JOIN calls AS before ON before.id = calls.follows
    JOIN replies ON replies.call = before.id AND replies.position = 0
    WHERE calls.id = ? AND calls.previous IS NOT NULL
"""
_BESIDE_ALREADY = """
    SELECT 1 FROM calls WHERE lead = ? AND named = 0 AND anchor IS NULL AND follows IS NOT NULL
    AND conversation = (SELECT conversation FROM calls WHERE id = ?) LIMIT 1
"""


def join_side_calls(db: sqlite3.Connection, call: int, *, user: str | None, ended: float) -> None:
    """Put a new call beside the chat that it is about, or those that are about it beside it."""
    around = (ended - NEAR, ended + NEAR)
    alone = [id for [id] in db.execute(_ALONE, (*around, user, LOOKED_AT))]
    if not alone:
        return
    [conversation] = db.execute("SELECT conversation FROM calls WHERE id = ?", (call,)).fetchone()
    if call in alone:
        for other, chat in _near(db, call, conversation, user, around):
            if _is_beside(db, call, other):
                _put(db, call, other, chat)
                return
    for id in alone:
        if id != call and _is_beside(db, id, call):
            _put(db, id, call, conversation)


def _near(
    db: sqlite3.Connection, call: int, conversation: int, user: str | None, around: tuple[float, float]
) -> Iterator[tuple[int, int]]:
    """Calls, with their chats, that a call may be about: those whose answers are lines of it, then the latest."""
    history, _, _ = _sent(db, call)
    lines = plain(history[-1].body).splitlines()[-QUOTED:] if history else []
    for line in lines:
        said = own_hash({"role": "assistant", "content": _LABEL.sub("", line)})
        found = db.execute(_SAYING, (said, user, *around)).fetchone()
        if found is not None and found[1] != conversation:
            yield found
    for [chat] in db.execute(_CHATS, (*around, conversation, LOOKED_AT)).fetchall():
        yield from ((id, chat) for [id] in db.execute(_LAST, (chat, LATEST)).fetchall())


def _put(db: sqlite3.Connection, call: int, beside: int, conversation: int) -> None:
    db.execute("UPDATE calls SET follows = ? WHERE id = ?", (beside, call))
    move(db, call, conversation)


def _is_beside(db: sqlite3.Connection, call: int, other: int) -> bool:
    """Whether a call is about what another one says."""
    (history, prompt, user), (known, known_prompt, known_user) = _sent(db, call), _sent(db, other)
    if user != known_user or not history:
        return False
    said = plain(history[-1].body)
    if known and known[-1].own == history[-1].own and (len(said.split()) > WORDS or _has_been(db, prompt, other)):
        return prompt != known_prompt
    replies = list(_replies(db, other))
    if said in replies and len(said.split()) > WORDS:  # a verdict on the answer
        return True
    texts = [plain(message.body) for message in known[-EXCHANGES:]] + replies
    return quotes([said], [text for text in texts if text])


def _has_been(db: sqlite3.Connection, prompt: int | None, other: int) -> bool:
    """Whether a call with that system prompt is beside the same chat already."""
    return prompt is not None and db.execute(_BESIDE_ALREADY, (prompt, other)).fetchone() is not None


def _sent(db: sqlite3.Connection, call: int) -> tuple[list[SpokenMessage], int | None, str | None]:
    """What a call was sent, with what the server held before that, and under which prompt, for whom."""
    history, prompt, user = db.execute("SELECT history, lead, user FROM calls WHERE id = ?", (call,)).fetchone()
    said = spoken(db, history, last=EXCHANGES)
    follows = db.execute(_BEFORE, (call,)).fetchone()
    while follows is not None and len(said) < EXCHANGES:
        said = spoken(db, follows[1], last=EXCHANGES) + said
        follows = db.execute(_BEFORE, (follows[0],)).fetchone()
    return said, prompt, user


def _replies(db: sqlite3.Connection, call: int) -> Iterator[str]:
    for [message] in db.execute("SELECT message FROM replies WHERE call = ?", (call,)).fetchall():
        yield plain(spoken(db, message, last=1)[-1].body)
