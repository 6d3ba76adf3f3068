"""Pairs by themselves, as rows of any preference format: read as turns, told apart, their sides exchanged."""

from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.preference_rows import PREFERENCES
from collab_sdk.report.fields import Row, number, text
from collab_sdk.types import Conversation

SIDES = (("chosen", "rejected"), ("preferred_output", "non_preferred_output"))


def is_pair_row(row: Row) -> bool:
    """Whether the row holds a prompt and two responses."""
    return PREFERENCES.matches(row) and _read(row) is not None


def turn_of_pair(row: Row, place: int) -> Row:
    """The row as a scored turn with two candidates and no futures.

    `place` names the conversation of one that does not say where it is from.
    """
    chat = _read(row)
    if chat is None:
        raise InputError("no pair")
    history = chat.messages[:-1]
    [(_, rejected)] = chat.alternatives.items()
    scores = {"chosen": number(row.get("score_chosen")), "rejected": number(row.get("score_rejected"))}
    sides = {"chosen": chat.messages[-1].content, "rejected": rejected[0]}
    margin = None if None in scores.values() else (scores["chosen"] or 0.0) - (scores["rejected"] or 0.0)
    turn: Any = row.get("turn")
    return {
        "conversation_id": text(row.get("conversation_id")) or f"row {place}",
        "turn": turn if isinstance(turn, int) else 0,
        "history": [message.to_dict() for message in history],
        "candidates": [{"text": said, "mr": scores[side]} for side, said in sides.items()],
        "pair": {**sides, "margin": margin},
    }


def holds(row: Row, *, chosen: str, rejected: str) -> bool:
    """Whether the row is of this pair; rows that hold one response each are of it with either."""
    for better, worse in SIDES:
        if better in row:
            return (_said(row[better]), _said(row.get(worse))) == (chosen, rejected)
    if "completion" in row:
        return _said(row["completion"]) in (chosen, rejected)
    return _said(row.get("messages")) == chosen


def flipped(row: Row, *, rejected: str | None) -> Row:
    """The row with the sides of its pair exchanged, scores with them; other columns stay as they are.

    `rejected` is what a row to imitate says instead. Raises InputError where it is not known, and for other rows.
    """
    row = dict(row)
    for better, worse in SIDES:
        if better in row and worse in row:
            if row.get("messages") == row[better]:  # UltraFeedback's, which says the better side twice
                row["messages"] = row[worse]
            row[better], row[worse] = row[worse], row[better]
            if "score_chosen" in row and "score_rejected" in row:
                row["score_chosen"], row["score_rejected"] = row["score_rejected"], row["score_chosen"]
            if (margin := number(row.get("margin"))) is not None:
                row["margin"] = -margin
            return row
    if "completion" in row and isinstance(row.get("label"), bool):
        return row | {"label": not row["label"]}
    if isinstance(row.get("messages"), list) and row["messages"] and rejected is not None:
        *before, last = row["messages"]
        return row | {"messages": [*before, {**last, "content": rejected}]}
    raise InputError("a row of this format cannot be flipped: it does not hold the rejected response")


def _read(row: Row) -> Conversation | None:
    try:
        chat = PREFERENCES.read(row)
    except (InputError, TypeError, ValueError, AttributeError, KeyError):
        return None
    return chat if len(chat.alternatives) == 1 and all(chat.alternatives.values()) else None


def _said(value: Any) -> str:
    """The response of a side: messages, a single one in either spelling, or its text."""
    if isinstance(value, list):
        value = value[-1] if value else None
    if isinstance(value, dict):
        value = value.get("content", value.get("value"))
    return text(value)
