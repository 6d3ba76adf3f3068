"""Which conversations are recorded, where only a share of them is."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from collab_sdk.logs.store import LoggedCall
from collab_sdk.tool_calls import field_of

Places = OrderedDict[bytes, bytes]
"""By what a conversation is told that has come to a place, of those that a process has seen."""

REMEMBERED = 50_000
"""Places in conversations without an id, the latest of them."""
CONTEXT = range(6, 0, -1)
"""How many messages, up to a reply, a conversation is told by; the longer ones first."""
TELLING = 40
"""How many characters they have together, at least: many chats hold "yes" and "Done."."""


class Sample:
    """A share of the conversations, 0 to 1, each whole or not at all.

    One with an id is told by it, and one without by its beginning, which all its calls have in common as a rule: then
    every process decides alike. System prompts are no part of that, because they change. Where a history begins
    elsewhere (it is a window, holds a summary, or is held by the server), it is told by the reply or response that it
    goes on from, as far as this process has seen that.
    """

    def __init__(self, share: float, places: Places) -> None:
        self._share = share
        # Without a lock, which a fork could leave held: each step is one of the interpreter's own.
        self._known = places

    def takes(self, call: LoggedCall) -> bool:
        """Whether the conversation of a call is among those that are recorded."""
        if self._share >= 1:
            return True
        said = [message for message in call.shown or call.messages if _role(message) not in ("system", "developer")]
        told_by = self._told_by(call, said)
        if call.response_id is not None:
            self._remember(told_by, _response(call.response_id))
        for reply in call.replies:
            answer = {"role": "assistant", "content": field_of(reply, "content")}
            self._remember(told_by, *_ends(call.user, [*said, answer]))
        digest = hashlib.blake2b(told_by, digest_size=8).digest()
        return int.from_bytes(digest) < self._share * 2**64

    def _told_by(self, call: LoggedCall, said: Sequence[Any]) -> bytes:
        if call.conversation_id is not None:
            return call.conversation_id.encode("utf-8", "surrogatepass")
        beginning = _hash("beginning", call.user, *said[: _first_of_user(said) + 1])
        places = [beginning, *_ends(call.user, said)]
        if call.previous_response is not None:
            places = [_response(call.previous_response)]
        told_by = next((known for place in places if (known := self._known.get(place)) is not None), beginning)
        if told_by == beginning:
            self._remember(told_by, beginning)
        return told_by

    def _remember(self, told_by: bytes, *places: bytes) -> None:
        for place in places:
            self._known.pop(place, None)
            self._known[place] = told_by
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _role(message: Any) -> Any:
    return field_of(message, "role")


def _first_of_user(said: Sequence[Any]) -> int:
    return next((n for n, message in enumerate(said) if _role(message) == "user"), len(said))


def _ends(user: str | None, said: Sequence[Any]) -> list[bytes]:
    """The last that the assistant said, with what stands before it, as far as that tells one chat from another."""
    last = next((n for n in reversed(range(len(said))) if _role(said[n]) == "assistant"), -1)
    ends = [said[last + 1 - length : last + 1] for length in CONTEXT if length <= last + 1]
    return [_hash("end", user, *end) for end in ends if sum(map(_length, end)) >= TELLING]


def _response(id: str) -> bytes:
    return _hash("response", id)


def _length(message: Any) -> int:
    return len(str(field_of(message, "content") or ""))


def _hash(*told: Any) -> bytes:
    parts = [each if isinstance(each, str | None) else [_role(each), field_of(each, "content")] for each in told]
    return hashlib.blake2b(json.dumps(parts, default=str).encode(), digest_size=16).digest()
