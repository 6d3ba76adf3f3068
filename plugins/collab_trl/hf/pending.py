"""A request to a local model, and where its reply is awaited."""

from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from collab_sdk.errors import CollabError
from collab_sdk.models import ChatReply, ChatRequest
from collab_trl.chat_template import OWN, ChatTemplate
from collab_trl.hf.folders import Folder


@dataclass(kw_only=True, slots=True, eq=False)
class PendingReply:
    """A request, and where its reply is awaited."""

    request: ChatRequest
    seed: int
    adapter: Folder | None = None
    chat_template: ChatTemplate = OWN
    reply: "Future[ChatReply]" = field(default_factory=Future)
    prompt: Sequence[int] = ()
    """The request as tokens, once the worker has seen it."""
    opening: str = ""
    """The mark of the thought that the prompt ends in, if it does."""
    answer: Sequence[int] = ()
    """The reply as tokens, once there is one."""

    @property
    def answered_by(self) -> tuple[Folder | None, ChatTemplate]:
        """Requests with the same may be answered in one batch."""
        return self.adapter, self.chat_template

    def settle(self, outcome: ChatReply | CollabError) -> None:
        with suppress(InvalidStateError):  # given up by whoever waited
            if isinstance(outcome, CollabError):
                self.reply.set_exception(outcome)
            else:
                self.reply.set_result(outcome)
