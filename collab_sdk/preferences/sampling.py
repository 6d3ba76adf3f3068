"""How many futures the candidates of a turn get: few at first, more where they make an order sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from collab_sdk.errors import UsageError
from collab_sdk.preferences.contrasts import Rewards
from collab_sdk.preferences.noise import Noise


class NextBatch(Protocol):
    """Decides how many futures the candidates of a turn get."""

    @property
    def first(self) -> int:
        """Futures that every candidate gets at first."""

    @property
    def ceiling(self) -> int:
        """The most futures that one candidate gets."""

    def next_batch(self, rewards: Rewards, *, may_be_chosen: Sequence[bool] | None = None) -> list[int]:
        """How many more futures each candidate gets now; all zeros when it is enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingRule:
    """`first` futures for every candidate; then whole cycles of goals for the two whose order is surest.

    They go on while the next futures yield more pairs than elsewhere in the run: while the chance of a sure order, for
    each future that it takes, is above `price`. What lies between the two gets no more: it is in no pair. A future that
    failed counts against the ceiling and is not replaced. Decisions depend on rewards alone.
    """

    first: int
    ceiling: int
    cycle: int = 1
    """Futures of one round of goals: each candidate meets all of them equally often."""
    noise: Noise | None = None
    price: float = 0.0
    """Pairs that one future is worth."""
    confidence: float = 0.9
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.ceiling or self.cycle < 1:
            raise UsageError(
                f"first is {self.first}, ceiling {self.ceiling} and cycle {self.cycle}; "
                "they must be at least 1, first and 1."
            )

    def next_batch(self, rewards: Rewards, *, may_be_chosen: Sequence[bool] | None = None) -> list[int]:
        """How many more futures each candidate gets now; all zeros when it is enough. `may_be_chosen` as in `order`."""
        batch = [max(0, self.first - len(tried)) for tried in rewards]
        if any(batch) or self.noise is None or not self.price:
            return batch
        order = self.noise.order(rewards, goals=self.cycle, may_be_chosen=may_be_chosen)
        if order is None or order.confidence >= self.confidence:
            return batch
        pair = order.chosen, order.rejected
        fewest, played = (extreme(len(rewards[place]) for place in pair) for extreme in (min, max))
        if fewest < played:  # they are compared on common samples alone
            return [max(0, played - len(tried)) * (place in pair) for place, tried in enumerate(rewards)]
        more = range(self.cycle, self.ceiling - played + 1, self.cycle)
        yields = (order.chance(n, confidence=self.confidence, margin=self.margin) / (2 * n) for n in more)
        if max(yields, default=0.0) < self.price:
            return batch
        return [self.cycle * (place in pair) for place in range(len(rewards))]
