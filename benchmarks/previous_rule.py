"""How the product chose pairs before it went by confidence, to compare with."""

from collections.abc import Sequence
from math import fsum, sqrt
from statistics import NormalDist

from collab_sdk.preferences import Choice, Pilot, PreferenceExporter, Refusal
from collab_sdk.preferences.contrasts import FIRST, Rewards
from collab_sdk.types import MRScore

CLEAR = 0.5
"""Standard errors that a margin had to have."""


class PreviousRule:
    """Two futures for each candidate, then one at a time for best or worst until their order would stand.

    Stochastic curtailment, the variance pooled over the turn's candidates alone. Failed futures are left out.
    """

    def __init__(self, candidates: int, samples: int) -> None:
        spread = 2 * NormalDist().inv_cdf((candidates - 0.375) / (candidates + 0.25))
        self.first, self.ceiling, self.z = FIRST, 3 * samples, max(0.0, 0.61 * spread - 1.3 / samples)

    def next_batch(self, rewards: Rewards, *, may_be_chosen: Sequence[bool] | None = None) -> list[int]:
        batch = [max(0, FIRST - len(tried)) for tried in rewards]
        known = [[reward for reward in tried if reward is not None] for tried in rewards]
        if any(batch) or min(map(len, known)) < FIRST:
            return batch
        means = [fsum(tried) / len(tried) for tried in known]
        best, worst = means.index(max(means)), means.index(min(means))
        freedom = sum(len(tried) - 1 for tried in known)
        squares = fsum((r - mean) ** 2 for tried, mean in zip(known, means, strict=True) for r in tried)
        n = 2 * len(known[best]) * len(known[worst]) / (len(known[best]) + len(known[worst]))
        rest = sqrt(2 * max(0.0, self.ceiling - n))
        if (means[best] - means[worst]) * n >= self.z * sqrt(squares / freedom) * rest:
            return batch
        open_ = [place for place in (best, worst) if len(rewards[place]) < self.ceiling]
        if open_:
            batch[min(open_, key=lambda place: len(rewards[place]))] = 1
        return batch


class PreviousRuleExporter(PreferenceExporter):
    """Best against worst of a turn, if they are apart by a margin and half a standard error."""

    def sampling_rule(self, goals: int, pilot: Pilot | None = None, *, rounds: int = 1) -> PreviousRule:
        return PreviousRule(self.rule.candidates, self.scorer.rollout.samples)

    def choose(self, scores: Sequence[MRScore], pilot: Pilot, *, goals: int) -> Choice | Refusal:
        ranked = sorted((score for score in scores if score.value is not None), key=float)
        if len(ranked) < 2:
            return Refusal.UNSCORED
        apart = float(ranked[-1]) - float(ranked[0])
        error = ((ranked[-1].stderr or 0.0) ** 2 + (ranked[0].stderr or 0.0) ** 2) ** 0.5
        if apart <= 0 or apart < self.rule.min_margin or apart < CLEAR * error:
            return Refusal.MARGIN
        return Choice(chosen=ranked[-1], rejected=ranked[0])
