"""What came before a request of which the endpoint keeps the history itself."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.harvest import Answer

REMEMBERED = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """A conversation up to a response; its messages without instructions, which hold for one request only."""

    conversation: str | None = None
    messages: tuple[Any, ...] = ()


class Threads:
    """The last responses by their id, and conversations of the API's own by theirs.

    In memory: where a conversation goes on in another process, only what it is sent there is known of it.
    """

    def __init__(self) -> None:
        # Without a lock, which a fork could leave held: each step is one of the interpreter's own.
        self._known: OrderedDict[str, Earlier] = OrderedDict()

    def before(self, body: Mapping[str, Any]) -> Earlier:
        """What a request goes on from."""
        conversation = _conversation_id(body)
        key = body.get("previous_response_id") or conversation
        earlier = self._known.get(str(key), Earlier())
        return Earlier(conversation=earlier.conversation or conversation, messages=earlier.messages)

    def remember(
        self, body: Mapping[str, Any], answer: Answer, conversation: str | None, messages: Sequence[Any]
    ) -> None:
        """What a later request may go on from."""
        said = messages[1:] if body.get("instructions") else messages
        earlier = Earlier(conversation=conversation, messages=(*said, *answer.replies))
        for key in filter(None, (answer.id, _conversation_id(body))):
            self._known[key] = earlier
            self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _conversation_id(body: Mapping[str, Any]) -> str | None:
    conversation = body.get("conversation")
    return conversation.get("id") if isinstance(conversation, Mapping) else conversation
