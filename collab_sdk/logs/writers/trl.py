"""TRL's preference type with the prompt by itself: DPO, ORPO, CPO."""

from collab_sdk.logs.writers.base import (
    SCHEMA,
    PreferenceFormat,
    Row,
    broken_calls,
    origin,
    other_tools,
    prompt,
    scores,
    side,
    sureness,
    tools_as_text,
)
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    row = {
        "schema": SCHEMA,
        "prompt": prompt(pair),
        "chosen": side(pair.chosen),
        "rejected": side(pair.rejected),
        **scores(pair),
        "margin": pair.margin,
        **sureness(pair),
        **origin(pair),
    }
    return [row | tools_as_text(pair)]


TRL = PreferenceFormat(rows=_rows, cannot_hold=broken_calls, does_without=other_tools)
