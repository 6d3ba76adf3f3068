"""Calls as harvesters record them, in few words."""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.logs import LoggedCall

Row = Mapping[str, Any]


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def assistant(text: str, **fields: Any) -> Row:
    return {"role": "assistant", "content": text, **fields}


def call(run_id: str, *messages: Row, replies: Sequence[Row], **fields: Any) -> LoggedCall:
    return LoggedCall(run_id=run_id, messages=messages, replies=tuple(replies), **fields)
