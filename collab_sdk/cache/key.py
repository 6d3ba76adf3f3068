"""What makes two calls the same."""

import hashlib
import json
from typing import Any

from collab_sdk.models.base import ChatModel, ChatRequest

KEY_VERSION = 1


def call_identity(model: ChatModel, request: ChatRequest) -> dict[str, Any] | None:
    """Everything that may change the answer, and nothing secret; None if the model's replies are not to be kept."""
    if model.fingerprint is None:
        return None
    settings = request.settings.sent()
    # Under these names since the first version: what was paid for then is not paid for again.
    named = {name: settings.pop(name, None) for name in ("temperature", "max_tokens")}
    return {
        "version": KEY_VERSION,
        "model": dict(model.fingerprint),
        "role": request.role,
        "messages": [message.to_dict() for message in request.messages],
        **named,
        **({"settings": settings} if settings else {}),
        "json_reply": request.json_reply,
        "template": request.template,
        "sample": request.sample,
    }


def call_key(identity: dict[str, Any]) -> str:
    """The cache key: sha256 of the identity as canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
