"""What a cache keeps of a call: the key to find it by, its row, and the bytes of that row.

The key is made of all that may change the answer. The row holds that too, beside the reply and the time of writing. Its
bytes are compressed JSON and nothing else.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from collab_sdk.errors import SampleError
from collab_sdk.messages import Message
from collab_sdk.models.base import ChatModel, ChatReply, ChatRequest
from collab_sdk.models.dialect import Dialect
from collab_sdk.models.replies import checked

KEY_VERSION = 2
MAX_ROW_BYTES = 64 << 20
Row = dict[str, Any]


def call_identity(model: ChatModel, request: ChatRequest) -> dict[str, Any] | None:
    """Everything that may change the answer, and nothing secret; None if the model's replies are not to be kept."""
    if model.fingerprint is None:
        return None
    sent = request.fitted()
    return {
        "version": KEY_VERSION,
        "model": dict(model.fingerprint),
        "role": request.role,
        "messages": [message.to_dict() for message in sent.messages],
        "settings": sent.settings.sent(),
        "response_format": sent.dialect.response_format(sent.reply_schema),
        "template": request.template,
        "sample": request.sample,
        **sent.offered(),
    }


def lesson_identity(model: ChatModel, before: Dialect | None) -> dict[str, Any]:
    """Of what was learnt of the model's server by a refusal, `before` being what was known until then, if anything."""
    known = None if before is None else before.to_dict()
    return {"version": KEY_VERSION, "model": dict(model.fingerprint or {}), "dialect_before": known}


def served_identity(model: ChatModel) -> dict[str, Any]:
    """Of which model its servers say they are, where it has several."""
    return {"version": KEY_VERSION, "model": dict(model.fingerprint or {}), "served_as": None}


def is_served_as(row: Row, name: str | None) -> bool:
    """Whether a row keeps that the replicas of some model are taken for `name`; no row does for None."""
    request, reply = row["record"].get("request"), row["record"]["reply"]
    return isinstance(request, dict) and "served_as" in request and reply["content"] == name


def some_aside_identity(model: ChatModel) -> dict[str, Any]:
    """Of that replies are kept by their `aside_identity`, for any calls of this model."""
    return {"version": KEY_VERSION, "model": dict(model.fingerprint or {}), "some_kept_aside": True}


def aside_identity(call: Mapping[str, Any], server: str) -> dict[str, Any]:
    """Of the reply of one `server` to the call of that identity, which is not known yet to be of the right model."""
    return {**call, "kept_aside_from": server}


def set_aside(reply: ChatReply) -> ChatReply:
    """What is kept of such a reply: unlike any other it is needed with the model that it names."""
    return ChatReply(content=to_json({"record": {"reply": asdict(reply)}}).decode("utf-8", "surrogatepass"))


def taken_back(kept: ChatReply) -> ChatReply:
    """What `set_aside` was given. Raises ValueError for what this version of the package did not write."""
    reply = reply_in(json.loads(kept.content))
    if not isinstance(reply.model, str):
        raise ValueError("a model whose name is no text")
    return reply


def call_key(identity: dict[str, Any]) -> str:
    """The cache key: sha256 of the identity as canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def row_of(request: Mapping[str, Any], reply: ChatReply, *, written: float) -> Row:
    kept = {name: value for name, value in asdict(reply).items() if name != "model"}
    return {"written": written, "record": {"request": request, "reply": kept}}


def reply_in(row: Any) -> ChatReply:
    """Raises ValueError for what this version of the package did not write."""
    try:
        parts = row["record"]["reply"]
        calls, steps = parts.get("tool_calls") or (), parts.get("steps") or ()
        steps = tuple(Message(**{**step, "tool_calls": tuple(step["tool_calls"])}) for step in steps)
        reply = ChatReply(**{**parts, "tool_calls": tuple(calls), "steps": steps})
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("no record of a reply") from error
    tokens = (reply.prompt_tokens, reply.completion_tokens)
    if not all(isinstance(text, str) for text in (reply.content, reply.reasoning, reply.finish_reason)):
        raise ValueError("a reply that is not text")
    are_counts = all(count is None or type(count) is int for count in tokens)
    if not are_counts or not (reply.usd is None or type(reply.usd) in (float, int)):
        raise ValueError("a reply whose figures are not numbers")
    try:
        return checked(reply, "The cache") if calls or steps else reply
    except SampleError as error:
        raise ValueError("a reply whose calls or steps are none") from error


def written_in(row: Any) -> float:
    """When the row was written, in seconds since 1970. Raises ValueError for what is no row."""
    try:
        return float(row["written"])
    except (LookupError, TypeError) as error:
        raise ValueError("a row without a time") from error


class HostileRowError(ValueError):
    """A row that this package did not write, or that was changed since."""


def to_json(value: Any) -> bytes:
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return data.encode("utf-8", "surrogatepass")


def from_json(raw: bytes) -> Any:
    return json.loads(raw.decode("utf-8", "surrogatepass"))


def compress(raw: bytes) -> bytes:
    return zlib.compress(raw, 1)


def decompress(packed: bytes) -> bytes:
    """Raises HostileRowError for what is corrupt, cut off, or a bomb."""
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, MAX_ROW_BYTES)
    except zlib.error as error:
        raise HostileRowError("a corrupt value") from error
    if not unpacker.eof:
        raise HostileRowError("an oversized value, or half of one")
    return raw
