"""How many futures the candidates of a turn get: few at first, more only where best and worst are not yet apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import NormalDist
from typing import Self

from collab_sdk.errors import UsageError

FIRST = 2
"""With one future each, nothing would be known of how much they vary."""
Rewards = Sequence[float | None]
"""Of one candidate's futures, in the order of their sample indices; None for one that failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingRule:
    """`first` futures for every candidate, then one at a time for the best or the worst, until their order would stand.

    It stands when the best is ahead by `z` standard deviations of what the futures up to the `ceiling` could still
    change: stochastic curtailment (Lan, Simon and Halperin 1982), the variance pooled over the turn's candidates. What
    lies between best and worst gets no more: it is in no pair.

    Decisions depend on rewards alone. A future that failed counts against the ceiling and is not replaced.
    """

    first: int = FIRST
    ceiling: int = 9
    z: float = 0.6

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.ceiling or not self.z >= 0:
            raise UsageError(
                f"first is {self.first}, ceiling {self.ceiling} and z {self.z}; they must be at least 1, first and 0."
            )

    @classmethod
    def like(cls, samples: int, *, candidates: int) -> Self:
        """The rule that orders best and worst as often rightly as `samples` futures for every candidate do."""
        if samples <= FIRST:
            return cls(first=samples, ceiling=samples)
        # The more candidates, the farther apart noise alone puts best and worst: by this many standard deviations
        # (Blom's approximation). Fitted in simulation, as benchmarks/adaptive_sampling.py shows.
        noise = 2 * NormalDist().inv_cdf((candidates - 0.375) / (candidates + 0.25))
        return cls(ceiling=3 * samples, z=max(0.0, 0.61 * noise - 1.3 / samples))

    def next_batch(self, rewards: Sequence[Rewards]) -> list[int]:
        """How many more futures each candidate gets now; all zeros when it is enough."""
        batch = [max(0, self.first - len(tried)) for tried in rewards]
        scored = {i: kept for i, tried in enumerate(rewards) if (kept := [r for r in tried if r is not None])}
        if any(batch) or len(scored) < 2:
            return batch
        means = {i: fsum(kept) / len(kept) for i, kept in scored.items()}
        best, worst = max(means.values()), min(means.values())
        tops = [i for i, mean in means.items() if mean == best]
        bottoms = [i for i, mean in means.items() if mean == worst]
        fewest = [min(len(scored[i]) for i in extreme) for extreme in (tops, bottoms)]
        if self._is_settled(best - worst, *fewest, spread=_spread(scored, means)):
            return batch
        tried = {i: len(rewards[i]) for i in (*tops, *bottoms) if len(rewards[i]) < self.ceiling}
        turn = [i for i in tried if tried[i] == min(tried.values())]
        for i in [i for i in turn if i in tops] or turn:
            batch[i] = 1
        return batch

    def _is_settled(self, lead: float, n_best: int, n_worst: int, *, spread: float | None) -> bool:
        if spread is None:
            return False
        n = 2 * n_best * n_worst / (n_best + n_worst)
        return lead * n >= self.z * spread * sqrt(2 * max(0.0, self.ceiling - n))


def _spread(scored: dict[int, list[float]], means: dict[int, float]) -> float | None:
    """The standard deviation of a candidate's rewards, pooled; None while no candidate has two."""
    freedom = sum(len(kept) - 1 for kept in scored.values())
    if not freedom:
        return None
    if all(kept.count(kept[0]) == len(kept) for kept in scored.values()):  # not left to rounding
        return 0.0
    return sqrt(fsum((reward - means[i]) ** 2 for i, kept in scored.items() for reward in kept) / freedom)
