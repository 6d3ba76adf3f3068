"""The chosen response as a chat to imitate."""

from collab_sdk.logs.writers.base import PreferenceFormat, Row, prompt, reply, tools_as_text
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    return [{"messages": [*prompt(pair), reply(pair.chosen.response)]} | tools_as_text(pair)]


SFT = PreferenceFormat(rows=_rows)
