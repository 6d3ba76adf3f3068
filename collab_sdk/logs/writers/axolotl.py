"""Axolotl's `chat_template.default`: it renders roles and texts, knows no tools, and takes single messages as sides."""

from collab_sdk.logs.writers.base import PreferenceFormat, Row, more_than_a_text, prompt, side
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    [chosen], [rejected] = side(pair.chosen), side(pair.rejected)
    return [{"messages": prompt(pair), "chosen": chosen, "rejected": rejected}]


def _cannot_hold(pair: PreferencePair) -> str | None:
    if pair.tools or any(message.tool_calls or message.role == "tool" for message in pair.prompt):
        return "tools"
    return more_than_a_text(pair)


AXOLOTL = PreferenceFormat(rows=_rows, cannot_hold=_cannot_hold)
