"""Rows back into values: calls as they were recorded, and the chats that they make."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, chain
from typing import Any

from collab_sdk.logs.formats.conversation_row import to_conversation, with_alternatives
from collab_sdk.logs.formats.logged_messages import message_of, read_messages
from collab_sdk.logs.store.call import IMPORTED, LoggedCall
from collab_sdk.logs.store.messages import ancestry, as_object
from collab_sdk.logs.store.rebuilding import Rebuilt, rebuild
from collab_sdk.logs.store.tree import StoredCall, Tree, read_calls
from collab_sdk.messages import link_tool_calls
from collab_sdk.types import PARTIAL_TURNS, Conversation

GOAL = "collab_goal"
"""Where a call's metadata has the goal of its conversation."""
ENDED = "collab_ended"
"""And the time of its end, as a log told it."""


def read_call(db: sqlite3.Connection, id: int) -> LoggedCall:
    """The call as it was recorded, in canonical form."""
    [call] = read_calls(db, call=id)

    def body(message: int) -> Mapping[str, Any]:
        return as_object(db.execute("SELECT body FROM messages WHERE id = ?", (message,)).fetchone()[0])

    def path(leaf: int | None) -> tuple[Mapping[str, Any], ...]:
        return tuple(body(message) for message in reversed(ancestry(db, [leaf])))

    return LoggedCall(
        run_id=call.run,
        conversation_id=call.conversation if call.named else None,
        messages=(*path(call.lead), *path(call.history)),
        replies=tuple(body(message) for message in call.replies),
        shown=path(call.shown),
        shown_is_turn=bool(call.shown_is_turn),
        is_side=bool(call.is_side),
        response_id=call.response,
        previous_response=call.previous,
        is_added=bool(call.is_added),
        status=call.status,
        error=call.error,
        source=call.source,
        model=call.model,
        tools=_tools(db, call.toolset),
        user=call.user,
        started=call.started,
        ended=call.ended,
        cached=call.cached,
        **{key: value for key, value in call.details.items() if key in ("parameters", "usage", "metadata")},
    )


def read_conversation(db: sqlite3.Connection, tree: Tree) -> tuple[Conversation | None, Rebuilt]:
    """The chat, with the other replies given along it, and how it was rebuilt; None where no assistant said anything.

    Raises InputError for messages that no chat can have.
    """
    rebuilt = rebuild(tree)
    if not any(message.get("role") == "assistant" for message in rebuilt.messages):
        return None, rebuilt
    metadata = _metadata(rebuilt.calls)
    goal, told = metadata.pop(GOAL, None), metadata.pop(ENDED, None)
    recorded = max((call.ended for call in rebuilt.calls if call.source != IMPORTED), default=0.0)
    told_apart = [message_of(message) for message in rebuilt.messages]
    places = list(accumulate(map(len, told_apart), initial=0))
    read = to_conversation(
        {
            "id": tree.calls[0].conversation,
            "tools": list(_tools(db, next((call.toolset for call in reversed(rebuilt.calls) if call.toolset), None))),
            "metadata": metadata,
            "goal": goal,
            **{key: goal[key] for key in ("persona", "script") if isinstance(goal, Mapping) and key in goal},
            "ended": max(told if isinstance(told, int | float) else 0.0, recorded),
        },
        tuple(chain.from_iterable(told_apart)),
    )
    broken_off = {places[place] for place in rebuilt.partial}
    partial = [turn.index for turn in read.turns() if broken_off & set(read.places(turn))]
    if partial:
        metadata[PARTIAL_TURNS] = partial
    others = {
        places[place]: [link_tool_calls(read_messages(list(branch))) for branch in branches]
        for place, branches in rebuilt.alternatives.items()
    }
    return with_alternatives(replace(read, metadata=metadata), others), rebuilt


def _metadata(calls: Sequence[StoredCall]) -> dict[str, Any]:
    """What the calls say of the conversation; the latest wins."""
    said: dict[str, Any] = {}
    for call in calls:
        said |= {"source": "" if call.source == IMPORTED else call.source, "model": call.model, "user": call.user}
        said |= call.said_of("metadata")
    return {key: value for key, value in said.items() if value not in (None, "")}


def _tools(db: sqlite3.Connection, toolset: int | None) -> tuple[Mapping[str, Any], ...]:
    found = db.execute("SELECT body FROM toolsets WHERE id = ?", (toolset,)).fetchone()
    tools = as_object(found[0]).get("tools") if found else None
    return tuple(tools) if isinstance(tools, list) else ()
