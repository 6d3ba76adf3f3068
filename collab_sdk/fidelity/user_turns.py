"""Where a logged user had the word, and what they did with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collab_sdk.messages import Message
from collab_sdk.simulator import UserTurn
from collab_sdk.types import Conversation, Goal


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnVerdict:
    """The judge's on one simulated turn."""

    failed: tuple[str, ...]
    """The criteria that it does not meet; none for a valid turn."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedTurn:
    """A user's turn of a logged chat, and the simulated user's at the same place."""

    conversation_id: str
    turn: int
    """Position among the user's turns. The first has no history, so what is compared begins with 1."""
    history: tuple[Message, ...]
    """Up to and including an assistant message."""
    goal: Goal
    real: str
    """What the user wrote; empty where they had left."""
    real_stops: bool | None
    """Whether the user left here. None for their last message where the assistant answered it: leaving with it or
    after the answer comes to the same log."""
    simulated: UserTurn | None = None
    user: str = ""
    """Who played the simulated one."""
    fault: str | None = None
    """In which way the simulated turn is one that no user would write, by rules or by the simulated user's own word."""
    verdict: TurnVerdict | None = None
    """The judge's on the simulated turn, where it was asked for one."""
    error: str | None = None
    """Why there is no simulated turn. With a `fault` it is the simulated user who said that they cannot be played."""
    unjudged: str | None = None
    """Why there is no verdict, where it was asked for."""

    @property
    def is_known(self) -> bool:
        """Whether the simulated user did something at this turn, if only that they said they cannot be played."""
        return self.simulated is not None or self.fault is not None

    @property
    def written(self) -> tuple[str, str] | None:
        """What the real and the simulated user wrote; None where one of them left without a word."""
        said = self.simulated.message if self.simulated else ""
        return (self.real, said) if self.real.strip() and said.strip() else None

    @property
    def earlier(self) -> list[str]:
        """What the user had written before."""
        return [message.content for message in self.history if message.role == "user"]


def user_turns(conversation: Conversation, goal: Goal) -> Iterator[ComparedTurn]:
    """Every place after an assistant's answer where the user wrote on, or where the log ends.

    Several user messages in a row are one turn.
    """
    messages = conversation.messages
    number = 0
    for position, message in enumerate(messages):
        if message.role == "user" and (position == 0 or messages[position - 1].role != "user"):
            number += 1
        following = messages[position + 1 :]
        if not number or message.role != "assistant" or not message.content.strip():
            continue
        written = _leading_user_messages(following)
        real = "\n".join(text for each in written if (text := each.content.strip()))
        if following and not real:  # a tool's result, a second answer, an empty message
            continue
        yield ComparedTurn(
            conversation_id=conversation.id,
            turn=number,
            history=messages[: position + 1],
            goal=goal,
            real=real,
            real_stops=_stops(following[len(written) :], wrote=bool(real)),
        )


def _leading_user_messages(messages: Sequence[Message]) -> list[Message]:
    leading: list[Message] = []
    for message in messages:
        if message.role != "user":
            break
        leading.append(message)
    return leading


def _stops(after: Sequence[Message], *, wrote: bool) -> bool | None:
    """Whether the user left with their turn, from what came after it."""
    if not wrote or not after:
        return True
    return False if any(message.role == "user" for message in after) else None
