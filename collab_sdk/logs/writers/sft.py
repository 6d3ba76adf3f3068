"""The chosen response as a chat to imitate."""

from collab_sdk.logs.writers.base import PreferenceFormat, Row, broken_calls, other_tools, prompt, side, tools_as_text
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    return [{"messages": [*prompt(pair), *side(pair.chosen)]} | tools_as_text(pair)]


SFT = PreferenceFormat(rows=_rows, cannot_hold=broken_calls, does_without=other_tools)
