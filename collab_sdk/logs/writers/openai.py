"""Rows for those who train as a service: OpenAI, Together and Fireworks share one form, and refuse other columns."""

from collab_sdk.logs.writers.base import PreferenceFormat, Row, all_answered, for_servers, more_than_a_text
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    """Text only, and one assistant message an output."""
    tools = [dict(tool) for tool in pair.tools]
    return [
        {
            "input": {"messages": for_servers(pair.prompt), "tools": tools, "parallel_tool_calls": True},
            "preferred_output": for_servers(pair.chosen.response),
            "non_preferred_output": for_servers(pair.rejected.response),
        }
    ]


def _cannot_hold(pair: PreferencePair) -> str | None:
    """Calls may be in the input, whole: a request with one that has no result is refused."""
    named = all(call.name for message in pair.prompt for call in message.calls)
    if not named or not all_answered(pair.prompt):
        return "calls without a name or without a result"
    return more_than_a_text(pair)


def _fireworks_cannot_hold(pair: PreferencePair) -> str | None:
    """Its messages are those of system, user and assistant, and text."""
    if any(message.tool_calls or message.role == "tool" for message in pair.prompt):
        return "calls in the prompt"
    return more_than_a_text(pair)


OPENAI = PreferenceFormat(rows=_rows, cannot_hold=_cannot_hold)
FIREWORKS = PreferenceFormat(rows=_rows, cannot_hold=_fireworks_cannot_hold, min_rows=3)
