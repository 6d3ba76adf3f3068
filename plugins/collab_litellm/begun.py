"""What was said around a call when it began, for when it has ended, elsewhere."""

from collections import OrderedDict
from dataclasses import dataclass

from collab_sdk.harvest import current_conversation, suppressed

LIMIT = 10_000
"""Calls that are cancelled never end: of more than this, the oldest are forgotten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    conversation: str | None
    suppressed: bool

    @classmethod
    def now(cls) -> "Begun":
        return cls(conversation=current_conversation(), suppressed=suppressed())


class BegunCalls:
    """The surroundings of calls by their id. A stream ends in another context than it began in."""

    def __init__(self) -> None:
        # Without a lock, which a fork could leave held: each step is one of the interpreter's own.
        self._calls: OrderedDict[str, Begun] = OrderedDict()

    def note(self, call_id: str | None) -> None:
        begun = Begun.now()
        if call_id is None or begun == Begun(conversation=None, suppressed=False):
            return
        self._calls[call_id] = begun
        if len(self._calls) > LIMIT:
            self._calls.popitem(last=False)

    def end(self, call_id: str) -> Begun:
        """What was noted; for a call that reached no endpoint, what holds now."""
        return self._calls.get(call_id) or Begun.now()
