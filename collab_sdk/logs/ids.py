"""The ids of conversations that are read together."""

import hashlib
import json
from collections import Counter
from dataclasses import replace

from collab_sdk.errors import InputError
from collab_sdk.types import Conversation


class Ids:
    """Sees to it that no two conversations share an id, as ids key the cache and the train/eval split."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()

    def claim(self, conversation: Conversation) -> Conversation:
        """The conversation under an id of its own. Raises InputError if its row names one that is taken."""
        if not conversation.id:
            conversation = replace(conversation, id=self._derive(conversation))
        elif conversation.id in self._uses:
            raise InputError(f"duplicate id {conversation.id!r}; an earlier chat has it")
        self._uses[conversation.id] += 1
        return conversation

    def _derive(self, conversation: Conversation) -> str:
        """A hash of the messages, so stable from run to run; the same chat logged twice is two conversations."""
        messages = [message.to_dict() for message in conversation.messages]
        canonical = json.dumps(messages, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        base = candidate = f"chat-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"
        while candidate in self._uses:
            self._uses[base] += 1
            candidate = f"{base}-{self._uses[base]}"
        return candidate
