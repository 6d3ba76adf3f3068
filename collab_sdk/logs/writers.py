"""Preference formats: a pair of responses as one row of a training file."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from collab_sdk.errors import UnknownNameError
from collab_sdk.logs.json_text import to_json
from collab_sdk.types import PreferencePair

Row = dict[str, Any]


Writer = Callable[[PreferencePair], Row]


def _trl(pair: PreferencePair) -> Row:
    row = {
        "schema": "collab/preference/v1",
        "prompt": _prompt(pair),
        "chosen": _reply(pair.chosen.response),
        "rejected": _reply(pair.rejected.response),
        "score_chosen": float(pair.chosen),
        "score_rejected": float(pair.rejected),
        "margin": pair.margin,
        "conversation_id": pair.conversation_id,
        "turn": pair.turn,
    }
    return row | _tools(pair)


def _openai(pair: PreferencePair) -> Row:
    tools = [dict(tool) for tool in pair.tools]
    return {
        "input": {"messages": _prompt(pair), "tools": tools, "parallel_tool_calls": True},
        "preferred_output": _reply(pair.chosen.response),
        "non_preferred_output": _reply(pair.rejected.response),
    }


def _sft(pair: PreferencePair) -> Row:
    return {"messages": _prompt(pair) + _reply(pair.chosen.response)} | _tools(pair)


def _tools(pair: PreferencePair) -> Row:
    # As text, which TRL parses: Arrow would merge differing tools into one schema and fill it up with nulls.
    return {"tools": to_json([dict(tool) for tool in pair.tools])} if pair.tools else {}


def _prompt(pair: PreferencePair) -> list[Row]:
    return [message.to_dict() for message in pair.prompt]


def _reply(text: str) -> list[Row]:
    return [{"role": "assistant", "content": text}]


WRITERS: Mapping[str, Writer] = MappingProxyType({"trl": _trl, "openai": _openai, "sft": _sft})
"""By format. Only `trl` rows say where they come from; the others have no room for it."""


def get_writer(name: str) -> Writer:
    """The writer of a format. Raises UnknownNameError listing the formats."""
    if name not in WRITERS:
        raise UnknownNameError.of("format", name, WRITERS)
    return WRITERS[name]
