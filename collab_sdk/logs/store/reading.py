"""Rows back into values: calls as they were recorded, and conversations along their current branch."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from collab_sdk.logs.formats.conversation_row import with_alternatives
from collab_sdk.logs.formats.openai_messages import OPENAI_MESSAGES, openai_message
from collab_sdk.logs.store.call import LoggedCall
from collab_sdk.logs.store.messages import ancestry
from collab_sdk.logs.store.tree import StoredCall, Tree, as_object, read_calls
from collab_sdk.messages import Message, link_tool_calls
from collab_sdk.types import PARTIAL_TURNS, Conversation

IMPORTED = "import"
"""The source of calls made from a log."""
GOAL = "collab_goal"
"""Where a call's metadata has the goal of its conversation."""


def read_call(db: sqlite3.Connection, id: int) -> LoggedCall:
    """The call as it was recorded, in canonical form."""
    [call] = read_calls(db, call=id)

    def body(message: int) -> Mapping[str, Any]:
        return as_object(db.execute("SELECT body FROM messages WHERE id = ?", (message,)).fetchone()[0])

    return LoggedCall(
        run_id=call.run,
        conversation_id=call.conversation if call.named else None,
        messages=tuple(body(message) for message in reversed(ancestry(db, [call.history]))),
        replies=tuple(body(message) for message in call.replies),
        status=call.status,
        error=call.error,
        source=call.source,
        model=call.model,
        tools=_tools(db, call.toolset),
        user=call.user,
        started=call.started,
        ended=call.ended,
        cached=call.cached,
        **{key: value for key, value in as_object(call.details).items() if key in ("parameters", "usage", "metadata")},
    )


def read_conversation(db: sqlite3.Connection, tree: Tree) -> Conversation | None:
    """The current branch, with the other replies given along it; None where no assistant said anything.

    Raises InputError for messages that no chat can have.
    """
    path = tree.current_path()
    if not any(tree.bodies[id].get("role") == "assistant" for id in path):
        return None
    on_path = set(path)
    calls = [call for call in tree.calls if call.leaf in on_path]
    metadata = _metadata(calls)
    goal = metadata.pop(GOAL, None)
    read = OPENAI_MESSAGES.read(
        {
            "id": tree.calls[0].conversation,
            "messages": [tree.bodies[id] for id in path],
            "tools": list(_tools(db, next((call.toolset for call in reversed(calls) if call.toolset), None))),
            "metadata": metadata,
            "goal": goal,
        }
    )
    cut_off = _replies(tree, "partial") - _replies(tree, "ok")
    places = {turn.index: read.places(turn) for turn in read.turns()}
    if partial := [index for index, those in places.items() if any(path[place] in cut_off for place in those)]:
        metadata[PARTIAL_TURNS] = partial
    others = {place: _alternatives(tree, path[place]) for those in places.values() for place in those}
    return with_alternatives(replace(read, metadata=metadata), others)


def _alternatives(tree: Tree, message: int) -> list[tuple[Message, ...]]:
    """What else the assistant did in place of a message, as far as it went, in the order it was given."""
    unfinished = set().union(*(call.replies for call in tree.calls)) - _replies(tree, "ok")
    given = {id: (*call.order, place) for call in reversed(tree.calls) for place, id in enumerate(call.replies)}
    never = (float("inf"),)

    def order(id: int) -> tuple[Any, ...]:
        return given.get(id, never), str(tree.bodies[id])

    others = []
    siblings = [id for id in tree.children[tree.parents[message]] if id != message and id not in unfinished]
    for id in sorted(siblings, key=order):
        branch = [id]
        while _is_step(tree.bodies[branch[-1]]) and (
            further := [each for each in tree.children[branch[-1]] if each not in unfinished]
        ):
            branch.append(max(further, key=order))
        if tree.bodies[id].get("role") == "assistant" and tree.bodies[branch[-1]].get("role") in ("assistant", "tool"):
            others.append(link_tool_calls(map(openai_message, (tree.bodies[each] for each in branch))))
    return others


def _is_step(body: Mapping[str, Any]) -> bool:
    """Whether the assistant goes on after it: a call, or a result."""
    return body.get("role") == "tool" or bool(body.get("tool_calls"))


def _replies(tree: Tree, status: str) -> set[int]:
    return {id for call in tree.calls if call.status == status for id in call.replies}


def _metadata(calls: Sequence[StoredCall]) -> dict[str, Any]:
    """What the calls say of the conversation; the latest wins."""
    said: dict[str, Any] = {}
    for call in calls:
        said |= {"source": "" if call.source == IMPORTED else call.source, "model": call.model, "user": call.user}
        metadata = as_object(call.details).get("metadata")
        said |= metadata if isinstance(metadata, dict) else {}
    return {key: value for key, value in said.items() if value not in (None, "")}


def _tools(db: sqlite3.Connection, toolset: int | None) -> tuple[Mapping[str, Any], ...]:
    found = db.execute("SELECT body FROM toolsets WHERE id = ?", (toolset,)).fetchone()
    tools = as_object(found[0]).get("tools") if found else None
    return tuple(tools) if isinstance(tools, list) else ()
