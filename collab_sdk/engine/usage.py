"""Who called how often, and what it cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from collab_sdk.models.base import CallRole, ChatReply


@dataclass(kw_only=True, slots=True)
class Usage:
    """Totals of one role: calls made and answered from the cache, tokens, US dollars, seconds."""

    calls: int = 0
    cache_hits: int = 0
    retries: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    unpriced_calls: int = 0
    """Calls whose price nobody knows; `usd` leaves them out."""
    unknown_endings: int = 0
    """Replies that ended for a reason not known here, and were taken as whole."""
    seconds: float = 0.0
    """Spent in calls that were answered."""
    limited_seconds: float = 0.0
    """In which calls waited since the provider had refused them for their rate; several at a time count once."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Usage)})

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(Usage)})


@dataclass(slots=True)
class Ledger:
    """Usage by role, and what was lost."""

    roles: dict[CallRole, Usage] = field(default_factory=dict)
    missing: int = 0
    """Samples without a result, since a call of theirs failed or an answer could not be read."""

    def of(self, role: CallRole) -> Usage:
        return self.roles.setdefault(role, Usage())

    def answered(self, role: CallRole, reply: ChatReply, seconds: float) -> None:
        usage = self.of(role)
        usage.prompt_tokens += reply.prompt_tokens or 0
        usage.completion_tokens += reply.completion_tokens or 0
        usage.seconds += seconds
        usage.unknown_endings += reply.has_unknown_ending
        if reply.usd is None:
            usage.unpriced_calls += 1
        else:
            usage.usd += reply.usd

    @property
    def total(self) -> Usage:
        return sum(list(self.roles.values()), Usage())  # a copy: progress reads it from another thread

    def by_role(self) -> Mapping[str, Usage]:
        """Roles in the order of the call path, those that were used, as they are now."""
        return {role.value: replace(self.roles[role]) for role in CallRole if role in self.roles}

    def since(self, before: Mapping[str, Usage]) -> dict[str, Usage]:
        """What came on top of an earlier `by_role`."""
        return {role: usage - before.get(role, Usage()) for role, usage in self.by_role().items()}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Usage by role as JSON values."""
        return {role: asdict(usage) for role, usage in self.by_role().items()}
