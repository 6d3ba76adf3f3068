"""As in `ultrafeedback_binarized`: the first request beside whole conversations."""

import hashlib

from collab_sdk.files import to_json
from collab_sdk.logs.writers.base import (
    PreferenceFormat,
    Row,
    broken_calls,
    other_tools,
    prompt,
    scores,
    tools_as_text,
    whole_conversations,
)
from collab_sdk.types import PreferencePair


def _rows(pair: PreferencePair) -> list[Row]:
    messages = prompt(pair)
    first = next((message["content"] for message in messages if message["role"] == "user"), "")
    whole = whole_conversations(pair)
    row = {
        "prompt": first,
        "prompt_id": hashlib.sha256(to_json(messages).encode()).hexdigest(),
        **whole,
        "messages": whole["chosen"],
        **scores(pair),
    }
    return [row | tools_as_text(pair)]


ULTRAFEEDBACK = PreferenceFormat(rows=_rows, cannot_hold=broken_calls, does_without=other_tools)
