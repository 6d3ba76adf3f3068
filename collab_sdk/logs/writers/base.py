"""What a preference format is, and the parts that rows of several formats are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.files import to_json
from collab_sdk.types import MRScore, PreferencePair

Row = dict[str, Any]
SCHEMA = "collab/preference/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceFormat:
    """How pairs are written for those who train on them: the rows of a pair, and what goes beside them.

    Rows that TRL reads say where they come from; the others are strict and have no room for it.
    """

    rows: Callable[[PreferencePair], Sequence[Row]]
    min_rows: int = 0
    """Fewer than that are refused by those who train on the file."""
    catalogue: str | None = None
    """The name of a JSON file in the same folder that has an entry for each data file."""
    entry: Callable[[str], Mapping[str, Any]] | None = None
    """That entry, from the name of the file."""


def prompt(pair: PreferencePair) -> list[Row]:
    return [message.to_dict() for message in pair.prompt]


def reply(text: str) -> Row:
    return {"role": "assistant", "content": text}


def side(score: MRScore) -> list[Row]:
    """The response as messages: text, calls, their results."""
    return [message.to_dict() for message in score.response]


def tools_as_text(pair: PreferencePair) -> Row:
    """A column of text, which TRL parses: Arrow would merge differing tools into one schema and fill it with nulls."""
    return {"tools": to_json([dict(tool) for tool in pair.tools])} if pair.tools else {}


def scores(pair: PreferencePair) -> Row:
    return {"score_chosen": float(pair.chosen), "score_rejected": float(pair.rejected)}


def origin(pair: PreferencePair) -> Row:
    return {"conversation_id": pair.conversation_id, "turn": pair.turn}


def whole_conversations(pair: PreferencePair) -> Row:
    """Both sides, each with the prompt in it."""
    return {
        "chosen": [*prompt(pair), *side(pair.chosen)],
        "rejected": [*prompt(pair), *side(pair.rejected)],
    }
