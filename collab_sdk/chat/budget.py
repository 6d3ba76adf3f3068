"""Limits on what a run may spend."""

from collab_sdk.errors import BudgetError


class Budget:
    """Counts calls and US dollars against optional limits.

    Calls are counted when they start, so `max_calls` is exact. Money is known when a reply arrives: what is in flight
    is reserved at the mean price so far, so the overshoot of `max_usd` is that estimate's error.
    """

    def __init__(self, *, max_calls: int | None = None, max_usd: float | None = None) -> None:
        self.max_calls = max_calls
        self.max_usd = max_usd
        self.calls = 0
        self.usd = 0.0
        self._priced = 0
        self._in_flight = 0

    async def start(self) -> None:
        """Count one call about to be made. Raises BudgetError if it would pass a limit."""
        if self.max_calls is not None and self.calls >= self.max_calls:
            raise BudgetError(f"The limit of {self.max_calls} calls is reached.")
        if self.max_usd is not None:
            mean = self.usd / self._priced if self._priced else 0.0
            if self.usd + mean * (self._in_flight + 1) > self.max_usd or self.usd >= self.max_usd:
                raise BudgetError(f"The limit of ${self.max_usd:g} is reached (${self.usd:.4f} spent).")
        self.calls += 1
        self._in_flight += 1

    def finish(self, usd: float | None) -> None:
        """Account for a call that ended; `usd` is None where it cost nothing or nobody knows."""
        self._in_flight -= 1
        if usd is not None:
            self.usd += usd
            self._priced += 1
