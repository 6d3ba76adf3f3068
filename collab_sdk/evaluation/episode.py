"""One conversation that was played, and what was found in it."""

from dataclasses import dataclass

from collab_sdk.tokens import count_tokens
from collab_sdk.types import Future, Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """A conversation with a bot, one sample of one goal. If `future.error` is set it is missing, never a zero."""

    conversation_id: str
    opening: tuple[Message, ...]
    """What was said before the bot's first answer."""
    future: Future
    """All that followed, how it ended, and the metrics of the whole."""
    questions: tuple[bool, ...] = ()
    """For each question that the bot asked, whether the answer changed the outcome."""
    is_ambiguous: bool | None = None
    """What the data set says of the opening, if it does."""
    asks: bool | None = None
    """Whether the bot's first answer asks in place of delivering; None where nobody looked."""

    @property
    def is_missing(self) -> bool:
        return self.future.error is not None

    @property
    def exchanges(self) -> int:
        return sum(message.role == "assistant" for message in self.future.messages)

    def tokens(self, role: str) -> int:
        """What the user read (`assistant`) or typed (`user`); not what the task put there before."""
        return sum(count_tokens(message.content) for message in self.future.messages if message.role == role)
