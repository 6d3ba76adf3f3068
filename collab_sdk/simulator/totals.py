"""Who played the user, and how that ended, as counts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from collab_sdk.types import End, Future

REASONS = 100
"""Different reasons for which users failed that are kept."""


@dataclass(kw_only=True, slots=True)
class UserTotals:
    """Futures by user and persona, and by how they ended; logged futures are nobody's."""

    ends: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    """By the user's name and their persona's."""
    blamed: Counter[str] = field(default_factory=Counter)
    """Why users failed: what is missing for that is no fault of the bot's. The first `REASONS` different reasons."""

    def add(self, futures: Iterable[Future]) -> None:
        for future in futures:
            self.count(future.user, future.persona, future.end, reason=future.error or "")

    def count(self, user: str, persona: str, end: str, *, reason: str = "") -> None:
        """One future, by how it ended; `reason` is its error."""
        if not user:
            return
        self.ends.setdefault((user, persona), Counter())[end] += 1
        if end == End.USER_FAILED and (reason in self.blamed or len(self.blamed) < REASONS):
            self.blamed[reason] += 1

    @property
    def n(self) -> int:
        return sum(ends.total() for ends in self.ends.values())

    @property
    def user_failures(self) -> int:
        return sum(ends[End.USER_FAILED] for ends in self.ends.values())

    @property
    def tells(self) -> bool:
        """Whether there is more to say than that one user played all: several, a persona, or one that failed."""
        return len(self.ends) > 1 or any(persona for _, persona in self.ends) or self.user_failures > 0

    def to_rows(self) -> list[dict[str, Any]]:
        """As JSON values: of each user and persona the futures, and how many ended in which way."""
        return [
            {
                "user": user,
                "persona": persona,
                "futures": ends.total(),
                "ends": {str(end): count for end, count in sorted(ends.items())},
            }
            for (user, persona), ends in sorted(self.ends.items())
        ]
