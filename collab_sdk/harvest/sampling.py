"""A share of the conversations, each whole or not at all."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def is_sampled(conversation_id: str | None, messages: Sequence[Mapping[str, Any]], share: float) -> bool:
    """Whether a conversation is among the `share` (0 to 1) that is kept; every process decides alike.

    One without an id is known by its beginning, which all its calls have in common.
    """
    if share >= 1:
        return True
    known_by = conversation_id if conversation_id is not None else _beginning(messages)
    digest = hashlib.blake2b(known_by.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def _beginning(messages: Sequence[Mapping[str, Any]]) -> str:
    """The messages up to the first of the user."""
    first = next((n for n, message in enumerate(messages) if message.get("role") == "user"), len(messages) - 1)
    return json.dumps([[m.get("role"), m.get("content")] for m in messages[: first + 1]], default=str)
