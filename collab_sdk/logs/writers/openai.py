"""Rows for those who train as a service: OpenAI, Together and Fireworks share one form, and refuse other columns."""

from collections.abc import Sequence
from itertools import pairwise, takewhile

from collab_sdk.logs.writers.base import (
    PreferenceFormat,
    Row,
    for_servers,
    functions,
    more_than_a_text,
    other_tools,
)
from collab_sdk.messages import Message
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    """Text only, and one assistant message an output."""
    request: Row = {"messages": for_servers(pair.prompt), "tools": functions(pair)}
    return [
        {
            "input": request,
            "preferred_output": for_servers(pair.chosen.response),
            "non_preferred_output": for_servers(pair.rejected.response),
        }
    ]


def _openai_rows(pair: PreferencePair) -> list[Row]:
    return [{**row, "input": {**row["input"], "parallel_tool_calls": True}} for row in _rows(pair)]


def _cannot_hold(pair: PreferencePair) -> str | None:
    """Calls may be in the input, whole: a request with one that has no result right behind it is refused."""
    named = all(call.name for message in pair.prompt for call in message.calls)
    if not named or not _all_answered_at_once(pair.prompt):
        return "calls without a name or without a result"
    return more_than_a_text(pair)


def _all_answered_at_once(messages: Sequence[Message]) -> bool:
    """Whether the results behind each message are those of its calls, and there are no others."""
    for place, message in enumerate(messages):
        if message.role != "tool":
            results = list(takewhile(lambda each: each.role == "tool", messages[place + 1 :]))
            if sorted(call.id for call in message.calls) != sorted(str(each.tool_call_id) for each in results):
                return False
    return not messages or messages[0].role != "tool"


def _together_cannot_hold(pair: PreferencePair) -> str | None:
    """Roles alternate, but for the results of parallel calls."""
    roles = [message.role for message in pair.prompt]
    if any(one == other and one != "tool" for one, other in pairwise(roles)):
        return "several messages in a row by one side"
    return _cannot_hold(pair)


def _fireworks_cannot_hold(pair: PreferencePair) -> str | None:
    """Its messages are those of system, user and assistant, and text; what the system says comes first."""
    if any(message.tool_calls or message.role == "tool" for message in pair.prompt):
        return "calls in the prompt"
    if any(message.role == "system" for message in pair.prompt[1:]):
        return "a system message that is not the first"
    return more_than_a_text(pair)


OPENAI = PreferenceFormat(rows=_openai_rows, cannot_hold=_cannot_hold, does_without=other_tools)
TOGETHER = PreferenceFormat(rows=_rows, cannot_hold=_together_cannot_hold, does_without=other_tools)
FIREWORKS = PreferenceFormat(rows=_rows, cannot_hold=_fireworks_cannot_hold, does_without=other_tools, min_rows=3)
