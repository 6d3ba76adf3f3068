"""The parts that rows of several preference formats are made of."""

from typing import Any

from collab_sdk.files import to_json
from collab_sdk.types import PreferencePair

Row = dict[str, Any]


def prompt(pair: PreferencePair) -> list[Row]:
    return [message.to_dict() for message in pair.prompt]


def reply(text: str) -> Row:
    return {"role": "assistant", "content": text}


def tools_as_text(pair: PreferencePair) -> Row:
    """A column of text, which TRL parses: Arrow would merge differing tools into one schema and fill it with nulls."""
    return {"tools": to_json([dict(tool) for tool in pair.tools])} if pair.tools else {}


def scores(pair: PreferencePair) -> Row:
    return {"score_chosen": float(pair.chosen), "score_rejected": float(pair.rejected)}


def origin(pair: PreferencePair) -> Row:
    return {"conversation_id": pair.conversation_id, "turn": pair.turn}
