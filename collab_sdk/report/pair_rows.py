"""Pairs by themselves, in any preference format, as turns with two candidates and no futures."""

from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.preference_rows import PREFERENCES
from collab_sdk.report.fields import Row, number, text
from collab_sdk.types import Conversation


def is_pair_row(row: Row) -> bool:
    """Whether the row holds a prompt and two responses."""
    return PREFERENCES.matches(row) and _read(row) is not None


def turn_of_pair(row: Row, place: int) -> Row:
    """The row as a scored turn; `place` names the conversation of one that does not say where it is from."""
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


def _read(row: Row) -> Conversation | None:
    try:
        chat = PREFERENCES.read(row)
    except (InputError, TypeError, ValueError, AttributeError, KeyError):
        return None
    return chat if len(chat.alternatives) == 1 and all(chat.alternatives.values()) else None
