"""What the store is handed: one call of a model inside an app."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMPORTED = "import"
"""The source of calls made from a log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedCall:
    """One call of a model inside an app: what it was sent and what came back.

    Messages and replies are OpenAI-style dicts; media in them is referenced, not held. `user` is hashed by whoever
    records, and nothing here may hold keys or headers. Times are Unix seconds.
    """

    run_id: str
    """Recording a run again replaces what is known of it, and never makes a second one."""
    messages: tuple[Mapping[str, Any], ...]
    """The history the model was sent."""
    replies: tuple[Mapping[str, Any], ...]
    """Every assistant message it gave (n > 1); none if it failed before any."""
    shown: tuple[Mapping[str, Any], ...] = ()
    """What the person and the app exchanged, up to and with the answer that was given, where the app's own run says so
    (a graph's state, a chain's input and output). This is the chat then, and `messages` what the model was sent."""
    shown_is_turn: bool = False
    """Whether `shown` is the last exchange alone; else it is the chat so far, or the end of it."""
    is_side: bool = False
    """A call that is known to be beside the chat, such as a title or a guard: it is kept, and is never the chat."""
    response_id: str | None = None
    """The provider's id of what came back."""
    previous_response: str | None = None
    """The `response_id` that it goes on from, where the server holds the history; `messages` is what was added."""
    is_added: bool = False
    """The server holds the history of `conversation_id`: `messages` is what was added to it."""
    conversation_id: str | None = None
    """As the app names it. None: the conversation that the history goes on from, else a new one."""
    status: str = "ok"
    """`ok`, `partial` (a stream broken off), `failed` or `cancelled`."""
    error: str | None = None
    """Type and first line."""
    source: str = ""
    """Who recorded it: `langchain`, `openai`, `litellm`, `import`."""
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Mapping[str, Any], ...] = ()
    user: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    """`prompt_tokens` and `completion_tokens`."""
    started: float = 0.0
    ended: float = 0.0
    cached: bool = False
    """Answered from the app's own cache."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
