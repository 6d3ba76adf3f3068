"""What a preference format is, and the parts that rows of several formats are made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from collab_sdk.files import to_json
from collab_sdk.logs.formats.tool_calls import arguments_object
from collab_sdk.messages import Message, ToolCall
from collab_sdk.tool_calls import field_of
from collab_sdk.types import MRScore, PreferencePair

Row = dict[str, Any]
AnyMessage = TypeVar("AnyMessage", Message, Mapping[str, Any])
SCHEMA = "collab/preference/v1"
NO_OBJECT = "calls whose arguments are no JSON object"
DEPTH = 100
"""Arguments of calls that are nested deeper are no arguments that a tool takes."""


def _holds_all(pair: PreferencePair) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceFormat:
    """How pairs are written for those who train on them: the rows of a pair, and what goes beside them.

    Rows that TRL reads say where they come from; the others are strict and have no room for it.
    """

    rows: Callable[[PreferencePair], Sequence[Row]]
    cannot_hold: Callable[[PreferencePair], str | None] = _holds_all
    """What a pair has that rows of this kind have no place for, such as "calls in a response"; None if they hold all of
    it. A pair of which something would be lost is left out of the file, and counted."""
    does_without: Callable[[PreferencePair], str | None] = _holds_all
    """What rows of this kind do not show of a pair that they hold, such as "tools" that nobody called; counted too."""
    min_rows: int = 0
    """Fewer than that are refused by those who train on the file."""
    catalogue: str | None = None
    """The name of a JSON file in the same folder that has an entry for each data file."""
    entry: Callable[[str], Mapping[str, Any]] | None = None
    """That entry, from the name of the file."""


def in_order_of_calls(messages: Iterable[AnyMessage]) -> list[AnyMessage]:
    """The messages with results that stand in a row in the order of their calls; of linked ones, or rows of these.

    Logs have the results of parallel calls as they came in, and most templates tell them apart by their order alone.
    """
    ordered = list(messages)
    calls: dict[Any, tuple[int, int]] = {}
    row: list[int] = []
    for place, message in enumerate(ordered):
        if field_of(message, "role") == "tool":
            row.append(place)
            continue
        _sort(ordered, row, calls)
        row = []
        made = field_of(message, "tool_calls") or ()
        calls |= {id: (place, n) for n, call in enumerate(made) if (id := field_of(call, "id")) is not None}
    _sort(ordered, row, calls)
    return ordered


def _sort(messages: list[AnyMessage], places: Iterable[int], calls: Mapping[Any, tuple[int, int]]) -> None:
    """Sort the results at these places; one that answers none of the calls stays where it is."""
    known = [place for place in places if field_of(messages[place], "tool_call_id") in calls]
    results = sorted((messages[place] for place in known), key=lambda each: calls[field_of(each, "tool_call_id")])
    for place, result in zip(known, results, strict=True):
        messages[place] = result


def for_templates(messages: Iterable[Message]) -> list[Row]:
    """Messages as chat templates take them: the arguments of calls are objects, which templates write as JSON.

    Arguments that are no object are the text that the model wrote; of such pairs `broken_calls` tells.
    """
    return [_row(message, _object_or_text) for message in in_order_of_calls(messages)]


def for_servers(messages: Iterable[Message]) -> list[Row]:
    """Messages as model APIs take them: the arguments of calls are text."""
    return [_row(message, lambda call: call.arguments) for message in messages]


def _object_or_text(call: ToolCall) -> Any:
    found = arguments_object(call.arguments)
    return call.arguments if found is None else found


def broken_calls(pair: PreferencePair) -> str | None:
    """What no row for templates can hold: some fail at arguments that are no object, others encode their text again.

    `load_dataset` gives up a whole file for one number of more than 64 bits.
    """
    messages = (*pair.prompt, *pair.chosen.response, *pair.rejected.response)
    found = (arguments_object(call.arguments) for message in messages for call in message.calls)
    return None if all(each is not None and _is_loaded(each, DEPTH) for each in found) else NO_OBJECT


def _is_loaded(value: Any, depth: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_loaded(each, depth - 1) for each in inner)
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def functions(pair: PreferencePair) -> list[Row]:
    """The tools that are functions: templates and trainers fail at others, such as a search that the server runs."""
    return [dict(tool) for tool in pair.tools if field_of(tool.get("function"), "name")]


def other_tools(pair: PreferencePair) -> str | None:
    return "tools that are not functions" if len(functions(pair)) < len(pair.tools) else None


def _row(message: Message, arguments: Callable[[ToolCall], Any]) -> Row:
    row = message.to_dict()
    if message.tool_calls:
        row["tool_calls"] = [
            ({"id": call.id} if call.id else {})
            | {"type": "function", "function": {"name": call.name, "arguments": arguments(call)}}
            for call in message.calls
        ]
    return row


def prompt(pair: PreferencePair) -> list[Row]:
    return for_templates(pair.prompt)


def side(score: MRScore) -> list[Row]:
    """The response as messages: text, calls, their results."""
    return for_templates(score.response)


def tools_as_text(pair: PreferencePair) -> Row:
    """A column of text, which TRL parses: Arrow would merge differing tools into one schema and fill it with nulls."""
    return {"tools": to_json(tools)} if (tools := functions(pair)) else {}


def scores(pair: PreferencePair) -> Row:
    return {"score_chosen": float(pair.chosen), "score_rejected": float(pair.rejected)}


def sureness(pair: PreferencePair) -> Row:
    """How surely the order would come out again, and how many futures of each side are missing, if any are."""
    lost = dict(zip(("missing_chosen", "missing_rejected"), pair.missing, strict=True))
    return {"confidence": pair.confidence, **(lost if any(pair.missing) else {})}


def origin(pair: PreferencePair) -> Row:
    return {"conversation_id": pair.conversation_id, "turn": pair.turn}


def whole_conversations(pair: PreferencePair) -> Row:
    """Both sides, each with the prompt in it."""
    return {
        "chosen": [*prompt(pair), *side(pair.chosen)],
        "rejected": [*prompt(pair), *side(pair.rejected)],
    }


def all_answered(messages: Sequence[Message]) -> bool:
    """Whether every call has its result."""
    answered = [message.tool_call_id for message in messages if message.role == "tool"]
    return sorted(call.id for message in messages for call in message.calls) == sorted(map(str, answered))


def more_than_a_text(pair: PreferencePair) -> str | None:
    """What the sides have beyond a single message of text."""
    sides = (pair.chosen.response, pair.rejected.response)
    if any(message.tool_calls for response in sides for message in response):
        return "calls in a response"
    if any(len(response) != 1 for response in sides):
        return "several messages in a response"
    return None
