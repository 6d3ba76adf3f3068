"""What a user is: anything that, given goal, persona and conversation, says what comes next, or leaves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from collab_sdk.engine.engine import Engine
from collab_sdk.errors import SampleError
from collab_sdk.messages import Message
from collab_sdk.models.base import ChatModel
from collab_sdk.secrets import one_line
from collab_sdk.spec import ModelSettings
from collab_sdk.types import End, Goal, Persona
from collab_sdk.values import dumps, loads

__all__ = ["SILENCE", "Situation", "User", "UserTurn", "checked_turn", "read_by_user"]

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
    """All that a user knows when it is their turn.

    `messages` is what they wrote and read, whatever it is made of: no system prompt, no calls and no results. It ends
    with the assistant, also with a reply that was empty, or it is empty: then the user begins.
    """

    messages: tuple[Message, ...]
    goal: Goal
    turn: int = 0
    """How often this user has spoken before, since the conversation is played."""
    sample: str = ""
    """Tells draws apart: the same situation with another sample is another person, or the same on another day."""
    conversation_id: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", read_by_user(self.messages))

    @property
    def persona(self) -> Persona | None:
        return self.goal.persona


LEAVING = (End.USER_DONE, End.GAVE_UP, End.SCRIPT)
"""The ends that are a user's."""


def checked_turn(said: object, *, name: str) -> UserTurn:
    """What a user's code returned, where it is a turn. Raises SampleError for anything else, in one line."""
    if not isinstance(said, UserTurn):
        raise SampleError(f"{name} as user returned {type(said).__name__}: expected a UserTurn.")
    try:
        turn: UserTurn = loads(UserTurn, dumps(said))
    except (TypeError, ValueError):
        raise SampleError(
            f"{name} as user returned a UserTurn with {one_line(repr(said), 200)}: its message and reason are texts, "
            "its end is an End or None."
        ) from None
    if turn.end is End.USER_FAILED:
        raise SampleError(f"{name} as user says that it failed: {one_line(turn.reason, 200) or 'it does not say why'}")
    if turn.end is not None and turn.end not in LEAVING:
        raise SampleError(f"{name} as user returned the end {str(turn.end)!r}, which no user decides.")
    return turn


def read_by_user(messages: Iterable[Message]) -> tuple[Message, ...]:
    """What a user wrote and read of a conversation; also a reply of the assistant's that was empty."""
    return tuple(
        Message(role=each.role, content=each.content, ended=each.ended)
        for each in messages
        if each.role in ("user", "assistant") and (each.content or each.ended)
    )


@runtime_checkable
class User(Protocol):
    """Anybody who can play the user."""

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
