"""The one narrow interface between this project and whatever answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from collab_sdk.types import Message


class CallRole(StrEnum):
    """On whose behalf a model is called; tokens, money and time are accounted by it."""

    ASSISTANT = "assistant"
    SIMULATOR = "simulator"
    JUDGE = "judge"
    GOAL = "goal"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """One call. Everything here but `metadata` is part of the cache key."""

    role: CallRole
    messages: tuple[Message, ...]
    temperature: float = 1.0
    max_tokens: int | None = None
    json_reply: bool = False
    """Ask for a JSON object, where the provider can be told."""
    template: str = ""
    """Hash of the prompt template, so that a changed prompt is a new call."""
    sample: str = ""
    """Which draw this is (conversation, candidate, future, step): repeated draws stay distinct."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Handed to the user's own bot if its signature asks for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatReply:
    """What came back. `usd` is None where the price is unknown; tokens are None where nobody counted."""

    content: str
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """US dollars per token."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        return self.prompt * prompt_tokens + self.completion * completion_tokens


@runtime_checkable
class ChatModel(Protocol):
    """Anything that answers a conversation."""

    @property
    def name(self) -> str:
        """For people: tables, errors, progress."""

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        """What identifies the model in cache keys (never a secret); None: its replies are not kept."""

    @property
    def price(self) -> Price | None:
        """None where it is unknown."""

    async def achat(self, request: ChatRequest) -> ChatReply:
        """Answer once, without retrying.

        Raises ModelCallError for a failed call (`retryable` where another try may help), BotError for a bot at fault,
        EndpointError where no further call can succeed.
        """
