"""When a failed call is tried again, and after how long. The libraries' own retries are off: they would multiply."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collab_sdk.errors import EmptyReplyError, ModelCallError

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

Sleep = Callable[[float], Awaitable[None]]


PATIENCE = 2
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

    def retrying(self, sleep: Sleep) -> "AsyncRetrying":
        from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

        backoff = wait_random_exponential(multiplier=self.min_wait, max=self.max_wait)

        def wait(state: "RetryCallState") -> float:
            error = _error(state)
            if not isinstance(error, ModelCallError):
                return backoff(state)
            asked = error.retry_after
            if error.rate_limited:
                # It takes its time, however many are waiting: short waits, which the held slot makes bearable. Servers
                # name whole seconds, and the same to all, who must not come back at once.
                own = self.min_wait * 2 ** min(state.attempt_number - 2, LONGEST)
                asked = (own if asked is None else asked) + random.uniform(0, self.min_wait)  # noqa: S311 - no secret
            return backoff(state) if asked is None else min(asked, self.max_wait)

        def stop(state: "RetryCallState") -> bool:
            error, limit = _error(state), self.attempts
            if isinstance(error, EmptyReplyError):
                limit = 2
            elif isinstance(error, ModelCallError) and error.rate_limited:
                limit = PATIENCE * self.attempts
            return state.attempt_number >= limit

        return AsyncRetrying(
            retry=retry_if_exception(is_retryable),
            wait=wait,
            stop=stop,
            sleep=sleep,
            reraise=True,
        )


def is_retryable(error: BaseException) -> bool:
    return isinstance(error, EmptyReplyError) or (isinstance(error, ModelCallError) and error.retryable)


def _error(state: "RetryCallState") -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
