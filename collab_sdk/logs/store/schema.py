"""The tables, and how a file of an older version becomes one of this version.

    conversations <- calls -> toolsets
                      |  \\
    lead, history, shown  replies
                      |  /
                    messages <- parent

A message is one node of a tree: its hash covers its parent's, so that the hash of a node stands for the whole history
up to it, and histories that begin alike share their nodes. `own` and `said` are what chats are told by. The order of
calls is (ended, depth, tie): depth counts the messages of the history, tie is made from the run id, so that it is the
same whoever is recorded first.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache

from collab_sdk.logs.store.version_2 import carry_over

APPLICATION_ID = 0x636C6162  # "clab"; `file` and others tell by it whose database this is

_CONVERSATIONS = """
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    active REAL NOT NULL                -- when its last call ended
);
CREATE INDEX conversations_active ON conversations (active);
"""
_FIRST = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    parent INTEGER,
    hash BLOB NOT NULL UNIQUE,
    depth INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX messages_parent ON messages (parent);

CREATE TABLE toolsets (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, body TEXT NOT NULL);

CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    conversation INTEGER NOT NULL,
    named INTEGER NOT NULL,             -- whether the app said which conversation it is
    anchor INTEGER,                     -- else: the reply that its history goes on from
    follows INTEGER,                    -- and the call that gave it
    history INTEGER,
    ended REAL NOT NULL,
    depth INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    started REAL NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    source TEXT NOT NULL,
    model TEXT,
    user TEXT,
    toolset INTEGER,
    cached INTEGER NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX calls_conversation ON calls (conversation, ended);
CREATE INDEX calls_history ON calls (history);
CREATE INDEX calls_follows ON calls (follows) WHERE follows IS NOT NULL;
CREATE INDEX calls_anchor ON calls (anchor, user, ended, depth, tie) WHERE anchor IS NOT NULL;
CREATE INDEX calls_anchor_history ON calls (anchor, user, history, ended, depth, tie) WHERE anchor IS NOT NULL;
CREATE INDEX calls_user ON calls (user) WHERE user IS NOT NULL;
CREATE INDEX calls_toolset ON calls (toolset) WHERE toolset IS NOT NULL;

CREATE TABLE replies (
    call INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message INTEGER NOT NULL,
    claimed INTEGER NOT NULL,           -- whether an unnamed call already goes on from it
    user TEXT,                          -- the rest is the call's, for the index
    ended REAL NOT NULL,
    depth INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    PRIMARY KEY (call, position)
) WITHOUT ROWID;
CREATE INDEX replies_message ON replies (message, user, claimed, ended, depth, tie);
"""

_RETIRED = """
DROP INDEX calls_conversation;
DROP INDEX calls_history;
DROP INDEX calls_follows;
DROP INDEX calls_anchor;
DROP INDEX calls_anchor_history;
DROP INDEX calls_user;
DROP INDEX calls_toolset;
DROP INDEX messages_parent;
DROP INDEX replies_message;
ALTER TABLE calls RENAME TO calls_1;
ALTER TABLE messages RENAME TO messages_1;
ALTER TABLE toolsets RENAME TO toolsets_1;
ALTER TABLE replies RENAME TO replies_1
"""
_SECOND = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    parent INTEGER,
    hash BLOB NOT NULL UNIQUE,
    depth INTEGER NOT NULL,
    role TEXT NOT NULL,
    own BLOB NOT NULL,                  -- the hash of what it says alone
    said BLOB NOT NULL,                 -- of all that was said up to it, system prompts left out
    spoken INTEGER NOT NULL,            -- and how many messages that is
    body TEXT NOT NULL
);
CREATE INDEX messages_parent ON messages (parent);
CREATE INDEX messages_said ON messages (said);

CREATE TABLE toolsets (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, body TEXT NOT NULL);

CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    conversation INTEGER NOT NULL,
    named INTEGER NOT NULL,             -- whether the app said which conversation it is
    anchor BLOB,                        -- else: `said` of the reply that its history goes on from
    anchored INTEGER,                   -- how many messages of the history lead up to that
    follows INTEGER,                    -- and the call that gave it
    lead INTEGER,                       -- the system prompts that the history begins with
    history INTEGER,                    -- the rest of it
    said BLOB,                          -- of the history
    last BLOB,                          -- `own` of the last that the assistant said in it
    shown INTEGER,
    shown_is_turn INTEGER NOT NULL,
    is_side INTEGER NOT NULL,
    is_added INTEGER NOT NULL,
    response TEXT,
    previous TEXT,
    ended REAL NOT NULL,
    depth INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    started REAL NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    source TEXT NOT NULL,
    model TEXT,
    user TEXT,
    toolset INTEGER,
    cached INTEGER NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX calls_conversation ON calls (conversation, ended);
CREATE INDEX calls_lead ON calls (lead) WHERE lead IS NOT NULL;
CREATE INDEX calls_history ON calls (history);
CREATE INDEX calls_shown ON calls (shown) WHERE shown IS NOT NULL;
CREATE INDEX calls_follows ON calls (follows) WHERE follows IS NOT NULL;
CREATE INDEX calls_anchor ON calls (anchor, user, ended, depth, tie) WHERE anchor IS NOT NULL;
CREATE INDEX calls_anchor_said ON calls (anchor, user, said, ended, depth, tie) WHERE anchor IS NOT NULL;
CREATE INDEX calls_said ON calls (said, user, ended) WHERE said IS NOT NULL;
CREATE INDEX calls_last ON calls (last) WHERE last IS NOT NULL AND anchor IS NULL AND named = 0;
CREATE INDEX calls_unnamed ON calls (ended) WHERE named = 0;
CREATE INDEX calls_alone ON calls (ended) WHERE named = 0 AND anchor IS NULL AND follows IS NULL AND last IS NULL;
CREATE INDEX calls_response ON calls (response) WHERE response IS NOT NULL;
CREATE INDEX calls_previous ON calls (previous) WHERE previous IS NOT NULL;
CREATE INDEX calls_user ON calls (user) WHERE user IS NOT NULL;
CREATE INDEX calls_toolset ON calls (toolset) WHERE toolset IS NOT NULL;

CREATE TABLE replies (
    call INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message INTEGER NOT NULL,
    own BLOB NOT NULL,                  -- the message's, for the indexes
    said BLOB NOT NULL,
    claimed INTEGER NOT NULL,           -- whether an unnamed call already goes on from it
    user TEXT,                          -- the rest is the call's, for the indexes
    ended REAL NOT NULL,
    depth INTEGER NOT NULL,
    tie INTEGER NOT NULL,
    PRIMARY KEY (call, position)
) WITHOUT ROWID;
CREATE INDEX replies_message ON replies (message);
CREATE INDEX replies_own ON replies (own, user, ended);
CREATE INDEX replies_said ON replies (said, user, claimed, ended, depth, tie);

CREATE TABLE unrecorded (reason TEXT PRIMARY KEY, calls INTEGER NOT NULL) WITHOUT ROWID
"""
_DROPPED = """
DROP TABLE calls_1;
DROP TABLE messages_1;
DROP TABLE toolsets_1;
DROP TABLE replies_1
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """How the next version is made of the one before: what makes way, tables, what is carried over, what goes then."""

    tables: str
    before: str = ""
    carry: Callable[[sqlite3.Connection], None] | None = None
    after: str = ""

    def run(self, connection: sqlite3.Connection) -> None:
        _execute(connection, self.before)
        _execute(connection, self.tables)
        if self.carry is not None:
            self.carry(connection)
        _execute(connection, self.after)


MIGRATIONS = (Migration(_CONVERSATIONS + _FIRST), Migration(_SECOND, before=_RETIRED, carry=carry_over, after=_DROPPED))
"""What has been released is never changed."""
NEW = 2
"""The version that an empty database is given at once: each statement costs a busy app's writer its turn."""


class UnusableError(Exception):
    """Why a file is not used as a store; whoever knows its name makes a StoreError of it."""


def is_store(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID)


def migrate(connection: sqlite3.Connection, *, writable: bool) -> None:
    """Bring a store, or an empty database, to this version. Raises UnusableError for any other database."""
    version = read_version(connection)
    if version == len(MIGRATIONS):
        return
    if not writable:
        raise UnusableError(f"it has version {version}, not {len(MIGRATIONS)}, and cannot be written to be brought up")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _bring_up(connection, read_version(connection))  # asked again: another process may have been first
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it by itself
            connection.execute("ROLLBACK")
        raise


def check(connection: sqlite3.Connection) -> None:
    """Raises UnusableError unless the tables are those of this version: views or triggers could do anything at all."""
    if missing := _planned(MIGRATIONS) - _objects(connection):
        names = ", ".join(sorted(name for _, name, _ in missing))
        raise UnusableError(f"its tables are not those of a conversation store ({names})")
    if strange := sorted(name for kind, name, _ in _objects(connection) if kind in ("view", "trigger")):
        raise UnusableError(f"it has views or triggers, which no conversation store has ({', '.join(strange)})")


def _bring_up(connection: sqlite3.Connection, version: int) -> None:
    """Make the tables of this version of those of another; 0 is an empty database."""
    if version == 0:
        _execute(connection, _CONVERSATIONS + _SECOND)
    for migration in MIGRATIONS[version or NEW :]:
        migration.run(connection)


@cache
def _planned(migrations: tuple[Migration, ...]) -> frozenset[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:")) as planned:
        _bring_up(planned, 0)
        return frozenset(_objects(planned))


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement)


def read_version(connection: sqlite3.Connection) -> int:
    """0 for an empty database. Raises UnusableError for one that is no store, or a newer one's."""
    version, is_ours, is_empty = _seen_at_once(connection)
    if not is_ours and (version or not is_empty):
        raise UnusableError("it is a database, but no conversation store")
    if version > len(MIGRATIONS):
        raise UnusableError(f"it was written by a newer collab-sdk (version {version}): pip install -U collab-sdk")
    return version


def _seen_at_once(connection: sqlite3.Connection) -> tuple[int, bool, bool]:
    """Version, whether it is a store, and whether nothing is in it: before another process makes it one, or after."""
    alone = not connection.in_transaction
    if alone:
        connection.execute("BEGIN")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        return version, is_store(connection), not _objects(connection)
    finally:
        if alone:
            connection.execute("COMMIT")


def _objects(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    return set(connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
