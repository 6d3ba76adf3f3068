"""When a failed call is tried again, and after how long. The libraries' own retries are off: they would multiply."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from collab_sdk.errors import CollabError, EmptyReplyError, ModelCallError

Sleep = Callable[[float], Awaitable[None]]

RATE_LIMIT_FACTOR = 2
"""A rate-limited call (429) has so many times the attempts of others: the endpoint is there, and only asks to wait."""
LONGEST = 3
"""The waits between them double up to so many times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Up to `attempts` tries of a retryable failure, with jittered exponential waits (seconds) or the server's own.

    An empty reply is tried once more, not `attempts` times.
    """

    attempts: int = 6
    min_wait: float = 0.5
    max_wait: float = 60.0

    def pause_after(self, error: CollabError, attempt: int) -> float | None:
        """Seconds to wait after `error` ended the try number `attempt`, counted from 1; None if it was the last."""
        if not is_retryable(error):
            return None
        is_rate_limit = isinstance(error, ModelCallError) and error.rate_limited
        limit = RATE_LIMIT_FACTOR * self.attempts if is_rate_limit else self.attempts
        sensible = 2 if isinstance(error, EmptyReplyError) else getattr(error, "tries", None)
        if attempt >= min(limit, sensible or limit):
            return None
        asked = error.retry_after if isinstance(error, ModelCallError) else None
        if asked is not None:
            asked = min(asked, self.max_wait) if asked >= 0 else None  # nan is no time either
        if is_rate_limit:
            # It takes its time, however many are waiting: short waits, which the held slot makes bearable. Servers name
            # whole seconds, and the same to all, who must not come back at once.
            own = self.min_wait * 2 ** min(attempt - 2, LONGEST)
            asked = (own if asked is None else asked) + random.uniform(0, self.min_wait)  # noqa: S311 - no secret
        if asked is not None:
            return min(asked, self.max_wait)
        return random.uniform(0, min(self.min_wait * 2 ** (attempt - 1), self.max_wait))  # noqa: S311


def is_retryable(error: BaseException) -> bool:
    return isinstance(error, EmptyReplyError) or (isinstance(error, ModelCallError) and error.retryable)
