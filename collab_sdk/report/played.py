"""Evaluations and checks of the simulator, as conversations that a page shows."""

from collections.abc import Iterator
from typing import Any

from collab_sdk.report.fields import Row, count, future, mapping, messages, rows, text, texts


def evaluation_conversations(row: Row) -> Iterator[Row]:
    """Each goal once, with what every bot made of it."""
    bots = texts(row.get("bots"))
    by_key: dict[tuple[str, int], Row] = {}
    for place, result in enumerate(rows(row.get("results"))):
        bot = text(result.get("bot")) or (bots[place] if place < len(bots) else "")
        for played in rows(result.get("conversations")):
            key = text(played.get("conversation_id")), count(played.get("sample"))
            opening = messages(played.get("opening"))
            chat = by_key.setdefault(key, {"id": key[0], "task": text(row.get("task")), "sample": key[1], "plays": []})
            chat.setdefault("messages", opening)
            chat["plays"].append({"bot": bot, **_played(played)})
        for name, why in mapping(result.get("failed")).items():
            lost = by_key.setdefault((name, 0), {"id": name, "task": text(row.get("task")), "sample": 0, "plays": []})
            lost.setdefault("messages", [])
            lost["plays"].append({"bot": bot, **_played({"error": text(why)})})
    yield from by_key.values()


def _played(played: Row) -> Row:
    questions: Any = played.get("questions")
    useful = [each for each in questions if isinstance(each, bool)] if isinstance(questions, list) else []
    return {**(future(played) or {}), "questions": useful}


def check_conversations(row: Row) -> Iterator[Row]:
    """The turns of each chat's user, with what the simulator said in their place."""
    chat: Row | None = None
    for turn in rows(row.get("turns")):
        name = text(turn.get("conversation_id"))
        if chat is None or chat["id"] != name:
            if chat is not None:
                yield chat
            chat = {"id": name, "goal": text(turn.get("goal")), "users": []}
        chat["messages"] = messages(turn.get("history"))
        chat["users"].append({"at": len(chat["messages"]), **_compared(turn)})
    if chat is not None:
        yield chat


def _compared(turn: Row) -> Row:
    real, simulated = mapping(turn.get("real")), mapping(turn.get("simulated"))
    return {
        "turn": count(turn.get("turn")),
        "real": {"message": text(real.get("message")), "stops": bool(real.get("stops"))},
        "simulated": {
            "message": text(simulated.get("message")),
            "stops": bool(simulated.get("stops")),
            "reason": "; ".join(filter(None, [*_wrong(turn), text(simulated.get("reason"))])),
        }
        if simulated
        else None,
        "error": text(turn.get("error")) or None,
    }


def _wrong(turn: Row) -> Iterator[str]:
    """Why no user would write a simulated turn, by rules and by the judge."""
    verdict = mapping(turn.get("verdict"))
    if fault := text(turn.get("fault")):
        yield f"not a user's turn: {fault}"
    if failed := texts(verdict.get("failed")):
        names = ", ".join(name.replace("_", " ") for name in failed)
        yield f"the judge: not {names}" + (f" ({reason})" if (reason := text(verdict.get("reason"))) else "")
