"""TRL's unpaired preferences: the chosen response labelled true, the rejected one false."""

from collab_sdk.logs.writers.base import (
    PreferenceFormat,
    Row,
    broken_calls,
    origin,
    other_tools,
    prompt,
    side,
    tools_as_text,
)
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    rows = []
    for score, label in ((pair.chosen, True), (pair.rejected, False)):
        row = {"prompt": prompt(pair), "completion": side(score), "label": label}
        rows.append({**row, "score": float(score), **origin(pair)} | tools_as_text(pair))
    return rows


KTO = PreferenceFormat(rows=_rows, cannot_hold=broken_calls, does_without=other_tools)
