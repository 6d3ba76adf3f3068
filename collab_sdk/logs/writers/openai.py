"""Rows for those who train as a service: OpenAI, Together and Fireworks share one form, and refuse other columns."""

from collab_sdk.logs.writers.base import PreferenceFormat, Row, prompt, reply
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    """Text only, and one assistant message an output."""
    tools = [dict(tool) for tool in pair.tools]
    return [
        {
            "input": {"messages": prompt(pair), "tools": tools, "parallel_tool_calls": True},
            "preferred_output": [reply(pair.chosen.text)],
            "non_preferred_output": [reply(pair.rejected.text)],
        }
    ]


OPENAI = PreferenceFormat(rows=_rows)
FIREWORKS = PreferenceFormat(rows=_rows, min_rows=3)
