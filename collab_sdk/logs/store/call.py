"""What the store is handed: one call of a model inside an app."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
