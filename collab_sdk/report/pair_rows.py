"""Pairs by themselves, as rows of any preference format: read as turns, told apart, their sides exchanged."""

from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.logged_messages import message_of
from collab_sdk.logs.formats.preference_rows import PREFERENCES, margin_of, repeated_prompt
from collab_sdk.logs.writers.base import for_templates
from collab_sdk.messages import as_messages
from collab_sdk.report.fields import Deeds, Row, deeds, number, rows, text
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
    better, worse = next(names for names in SIDES if names[0] in row)
    sides = {"chosen": _response(row[better]), "rejected": _response(row[worse])}
    if shared := repeated_prompt(rows(row[better]), rows(row[worse])):
        sides = {"chosen": rows(row[better])[shared:], "rejected": rows(row[worse])[shared:]}
    history = chat.messages[: len(chat.messages) - len(sides["chosen"])]
    scores = {"chosen": number(row.get("score_chosen")), "rejected": number(row.get("score_rejected"))}
    turn: Any = row.get("turn")
    return {
        "conversation_id": text(row.get("conversation_id")) or f"row {place}",
        "turn": turn if isinstance(turn, int) else 0,
        "history": [message.to_dict() for message in history],
        "candidates": [
            {"messages": said, "mr": scores[side], "missing": row.get(f"missing_{side}")}
            for side, said in sides.items()
        ],
        "pair": {**sides, "margin": number(margin_of(row)), "confidence": number(row.get("confidence"))},
    }


def holds(row: Row, *, chosen: Deeds, rejected: Deeds) -> bool:
    """Whether the row is of this pair; rows that hold one response each are of it with either."""
    for better, worse in SIDES:
        if better in row:
            return _ends(row[better], chosen) and _ends(row.get(worse), rejected)
    if "completion" in row:
        return _ends(row["completion"], chosen) or _ends(row["completion"], rejected)
    return _ends(row.get("messages"), chosen)


def turned(pair: Row) -> Row:
    """Margin and confidence of a pair whose sides are exchanged, as far as it has them."""
    margin, confidence = number(pair.get("margin")), number(pair.get("confidence"))
    return {
        **({} if margin is None else {"margin": -margin}),
        **({} if confidence is None else {"confidence": 1 - confidence}),
    }


def flipped(row: Row, *, chosen: list[Row], rejected: list[Row]) -> Row:
    """The row with the sides of its pair exchanged, scores with them; other columns stay as they are.

    `rejected` is what a row to imitate ends with instead of `chosen`. Raises InputError for other rows.
    """
    row = dict(row)
    for better, worse in SIDES:
        if better in row and worse in row:
            if row.get("messages") == row[better]:  # UltraFeedback's, which says the better side twice
                row["messages"] = row[worse]
            row[better], row[worse] = row[worse], row[better]
            if "score_chosen" in row and "score_rejected" in row:
                row["score_chosen"], row["score_rejected"] = row["score_rejected"], row["score_chosen"]
            lost = [row.pop(f"missing_{side}", None) for side in ("rejected", "chosen")]
            if any(lost):
                row["missing_chosen"], row["missing_rejected"] = lost
            return row | turned(row)
    if "completion" in row and isinstance(row.get("label"), bool):
        return row | {"label": not row["label"]}
    if isinstance(row.get("messages"), list) and chosen and rejected:
        return row | {"messages": [*row["messages"][: -len(chosen)], *for_templates(as_messages(rejected))]}
    raise InputError("a row of this format cannot be flipped: it does not hold the rejected response")


def _read(row: Row) -> Conversation | None:
    try:
        chat = PREFERENCES.read(row)
    except (InputError, TypeError, ValueError, AttributeError, KeyError):
        return None
    return chat if chat and len(chat.alternatives) == 1 and all(chat.alternatives.values()) else None


def _ends(side: Any, response: Deeds) -> bool:
    """Whether the side is this response; a whole conversation ends with it."""
    return bool(response) and deeds(_response(side))[-len(response) :] == response


def _response(side: Any) -> list[Row]:
    """The messages of a side: its own, or those after the user's last where it is a whole conversation."""
    if isinstance(side, str):
        return [{"role": "assistant", "content": side}]
    if isinstance(side, dict):
        return [_message(side)]
    messages = rows(side)
    spoke = max((place for place, message in enumerate(messages, 1) if message.get("role") == "user"), default=0)
    return messages[spoke:]


def _message(row: Row) -> Row:
    """A single message in either spelling."""
    try:
        return message_of(row)[0].to_dict() if "from" in row else row
    except InputError:
        return {}
