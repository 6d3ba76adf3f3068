"""TRL's preference type with the prompt in both sides: reward models.

Without the margin: RewardTrainer would put a column of that name into its loss.
"""

from collab_sdk.logs.writers.base import (
    SCHEMA,
    PreferenceFormat,
    Row,
    broken_calls,
    origin,
    other_tools,
    scores,
    tools_as_text,
    whole_conversations,
)
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    row = {"schema": SCHEMA, **whole_conversations(pair), **scores(pair), **origin(pair)}
    return [row | tools_as_text(pair)]


TRL_IMPLICIT = PreferenceFormat(rows=_rows, cannot_hold=broken_calls, does_without=other_tools)
