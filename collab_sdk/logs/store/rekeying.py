"""What version 2 of a store knows of messages and calls, of those that version 1 recorded."""

import sqlite3

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.store.chain import BEGINNING, Node, chain
from collab_sdk.logs.store.joining import Claimant, place

_MESSAGES = "SELECT id, parent, body FROM messages ORDER BY depth"
_KEY = "UPDATE messages SET role = ?, own = ?, said = ?, spoken = ? WHERE id = ?"
_RESPONSE = "UPDATE calls SET response = json_extract(details, '$.metadata.response_id') WHERE json_valid(details)"
_SAID = "UPDATE calls SET said = (SELECT said FROM messages WHERE id = history)"
_LAST = """
    WITH RECURSIVE up (id) AS (
        SELECT history FROM calls WHERE id = ?1
        UNION SELECT parent FROM messages JOIN up USING (id) WHERE role != 'assistant'
    ) UPDATE calls SET last = (SELECT own FROM messages JOIN up USING (id) WHERE role = 'assistant') WHERE id = ?1
"""
_REPLIES = """
    UPDATE replies SET claimed = 0, own = (SELECT own FROM messages WHERE id = message),
    said = (SELECT said FROM messages WHERE id = message)
"""


def rekey(db: sqlite3.Connection) -> None:
    """Fill in the keys of all messages, replies and calls, and place the calls without an id again."""
    nodes: dict[int, Node] = {}
    for id, parent, body in db.execute(_MESSAGES).fetchall():
        try:
            [node] = chain([parse_json(body)], after=nodes.get(parent, BEGINNING))
        except (InputError, AttributeError, TypeError, ValueError):  # damaged: it is told when it is read
            continue
        nodes[id] = node
        db.execute(_KEY, (node.role, node.own, node.said, node.spoken, id))
    for statement in (_RESPONSE, _SAID, _REPLIES):
        db.execute(statement)
    unnamed = "SELECT id FROM calls WHERE named = 0 ORDER BY ended, depth, tie"
    db.execute("UPDATE calls SET follows = NULL WHERE named = 0")
    for [id] in db.execute(unnamed).fetchall():
        db.execute(_LAST, (id,))
        place(db, Claimant.read(db, id))
