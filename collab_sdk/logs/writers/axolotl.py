"""Axolotl's `chat_template.default`, whose sides are single messages."""

from collab_sdk.logs.writers.base import PreferenceFormat, Row, prompt, reply
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    return [
        {
            "messages": prompt(pair),
            "chosen": reply(pair.chosen.text),
            "rejected": reply(pair.rejected.text),
        }
    ]


AXOLOTL = PreferenceFormat(rows=_rows)
