"""What a cache keeps of a call: the reply, beside the request that it answers and the time of writing."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from collab_sdk.models.base import ChatReply

Row = dict[str, Any]


def row_of(request: Mapping[str, Any], reply: ChatReply, *, written: float) -> Row:
    return {"written": written, "record": {"request": request, "reply": asdict(reply)}}


def reply_in(row: Any) -> ChatReply:
    """Raises ValueError for what this version of the package did not write."""
    try:
        reply = ChatReply(**row["record"]["reply"])
    except (LookupError, TypeError) as error:
        raise ValueError("no record of a reply") from error
    tokens = (reply.prompt_tokens, reply.completion_tokens)
    if not isinstance(reply.content, str) or not isinstance(reply.finish_reason, str):
        raise ValueError("a reply that is no text")
    if not all(count is None or type(count) is int for count in tokens) or type(reply.usd) not in (float, int, _NONE):
        raise ValueError("a reply whose figures are no numbers")
    return reply


def written_in(row: Any) -> float:
    """When the row was written, in seconds since 1970. Raises ValueError for what is no row."""
    try:
        return float(row["written"])
    except (LookupError, TypeError) as error:
        raise ValueError("a row without a time") from error


_NONE = type(None)
