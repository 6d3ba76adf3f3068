"""What a user is: anything that, given goal, persona and conversation, says what comes next, or leaves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from collab_sdk.engine.engine import Engine
from collab_sdk.messages import Message
from collab_sdk.models.base import ChatModel
from collab_sdk.spec import ModelSettings
from collab_sdk.types import End, Goal, Persona

__all__ = ["SILENCE", "Situation", "User", "UserTurn"]

SILENCE = "…"
"""What a model is told that was said where nothing was; many servers take no empty message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UserTurn:
    """What the user says next. With an `end`, they leave after `message`, which may then be empty."""

    message: str
    end: End | None = None
    reason: str = ""
    written: bool = False
    """Whether a person wrote it, now or in a script or log: then it is not checked as what a model makes up is."""

    @property
    def done(self) -> bool:
        """Whether the user leaves."""
        return self.end is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """All that a user knows when it is their turn: what was said, not what was called or what the system prompt says.

    `messages` ends with the assistant, or is empty: then the user begins.
    """

    messages: tuple[Message, ...]
    goal: Goal
    turn: int = 0
    """How often this user has spoken before, since the conversation is played."""
    sample: str = ""
    """Tells draws apart: the same situation with another sample is another person, or the same on another day."""
    conversation_id: str = ""

    @property
    def persona(self) -> Persona | None:
        return self.goal.persona

    @property
    def spoken(self) -> tuple[Message, ...]:
        """What the user wrote and read; also a reply of the assistant's that was empty."""
        return tuple(
            each for each in self.messages if each.role in ("user", "assistant") and (each.content or each.ended)
        )


@runtime_checkable
class User(Protocol):
    """Anybody who can sit in the user's seat."""

    @property
    def name(self) -> str:
        """For people and files: `plain:openai/x`, `logs:chats.db`, `script`."""

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        """What identifies them in provenance; None: it is not known whether another run would meet the same user."""

    @property
    def model(self) -> ChatModel | None:
        """The model that is asked, where there is one."""

    @property
    def settings(self) -> ModelSettings | None:
        """How that model is asked."""

    async def anext(self, situation: Situation, *, engine: Engine) -> UserTurn:
        """Raises SampleError where the user cannot be played, which is a missing sample."""
