"""One conversation that was played, and what was found in it."""

from dataclasses import dataclass

from collab_sdk.messages import Message
from collab_sdk.metrics import tokens_by_role
from collab_sdk.types import Conversation, Future, Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """A conversation with a bot, one sample of one goal. If `future.error` is set it is missing, never a zero."""

    conversation_id: str
    opening: tuple[Message, ...]
    """What was said before the bot's first answer."""
    row_sha256: str = ""
    """A digest of the task's row: the chat, the goal with its reference, the tools."""
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
    def turns(self) -> list[Turn]:
        """What the bot did for each user message."""
        return list(Conversation(id=self.conversation_id, messages=(*self.opening, *self.future.messages)).turns())

    @property
    def exchanges(self) -> int:
        begun = len(self.opening)
        return sum(len(turn.history) >= begun for turn in self.turns)

    def tokens(self, role: str) -> int:
        """What the bot wrote (`assistant`) or the user typed (`user`); not what the task put there before."""
        own = (message for message in self.future.messages if message.role == role)
        return tokens_by_role(own).get(role, 0)
