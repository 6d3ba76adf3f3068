"""The rows of conversations: found or made by name, kept up to date with their calls."""

import hashlib
import sqlite3


def named(db: sqlite3.Connection, name: str) -> int:
    """The id of the conversation with this name, which is made if there is none."""
    found = db.execute("SELECT id FROM conversations WHERE name = ?", (name,)).fetchone()
    if found is not None:
        return int(found[0])
    return int(db.execute("INSERT INTO conversations (name, active) VALUES (?, 0)", (name,)).lastrowid or 0)


def orphanage(db: sqlite3.Connection, call: int) -> int:
    """The id of the conversation that begins with this call, as nothing before it is known."""
    [run_id] = db.execute("SELECT run FROM calls WHERE id = ?", (call,)).fetchone()
    return named(db, f"orphan-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}")


def move(db: sqlite3.Connection, call: int, conversation: int) -> None:
    """Put a call, and all that follow it, into a conversation; one that is then empty goes."""
    moved = db.execute(
        """WITH RECURSIVE moved (id) AS (
               VALUES (?) UNION SELECT calls.id FROM calls JOIN moved ON calls.follows = moved.id
           ) SELECT calls.id, conversation FROM calls JOIN moved USING (id) WHERE conversation != ?""",
        (call, conversation),
    ).fetchall()
    db.executemany("UPDATE calls SET conversation = ? WHERE id = ?", [(conversation, id) for id, _ in moved])
    for touched in {conversation, *(left for _, left in moved if left)}:  # 0 is none yet
        refresh(db, touched)


def refresh(db: sqlite3.Connection, conversation: int) -> None:
    """Bring a conversation's own row up to date with its calls; without any, it goes."""
    [last] = db.execute("SELECT max(ended) FROM calls WHERE conversation = ?", (conversation,)).fetchone()
    if last is None:
        db.execute("DELETE FROM conversations WHERE id = ?", (conversation,))
    else:
        db.execute("UPDATE conversations SET active = ? WHERE id = ?", (last, conversation))
