"""What stands in a message for content that is no text."""

import re
from collections import Counter

from collab_sdk.types import Conversation

_PLACEHOLDER = re.compile(r"^\[(image|audio|video|file|document|attachment|refusal|part)\]$", re.MULTILINE)


def count_placeholders(conversation: Conversation, notes: Counter[str]) -> None:
    """Count what was no text and is left out of the conversation."""
    for message in conversation.messages:
        for kind in _PLACEHOLDER.findall(message.content):
            notes[f"[{kind}] in place of content that is no text"] += 1
