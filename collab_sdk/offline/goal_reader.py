"""The goal reader: what the user of a logged chat asked for, in their own words."""

from collections.abc import Iterable

from collab_sdk.offline.wishes import wishes
from collab_sdk.types import Message

LINES = 12


def read(transcript: Iterable[Message]) -> str:
    """One `request:` line, then `detail:` lines; at least one line, whatever the chat."""
    texts = [message.content for message in transcript if message.role == "user"]
    found = list(dict.fromkeys(wish for text in texts for wish in wishes(text)))[:LINES]
    if not found:
        found = [" ".join(text.split())[:300] for text in texts if text.strip()][:1] or ["help"]
    return "\n".join([f"request: {found[0]}", *(f"detail: {wish}" for wish in found[1:])])
