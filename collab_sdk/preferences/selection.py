"""Which pair of a turn's candidates is worth training on, and why the others are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from collab_sdk.errors import UsageError
from collab_sdk.types import MRScore


class Refusal(StrEnum):
    """Why a turn gives no pair."""

    TOOLS = "the history ends with a tool result, not with a user message"
    BROKEN_OFF = "the logged response was broken off"
    ONE_CANDIDATE = "fewer than two distinct candidates"
    UNSCORED = "fewer than two candidates could be scored"
    MARGIN = "the margin is too small"
    NOISE = "the margin is within its standard error"
    CAP = "the conversation has enough pairs with larger margins"
    REVIEW = "a reviewer dropped the pair"


@dataclass(frozen=True, kw_only=True)
class PairRule:
    """Best against worst candidate, if they are at least `min_margin` apart and `min_z` standard errors.

    The paper takes best against worst with a margin of 0.02 (section 4.1). Where a standard error is unknown, the
    margin alone decides. `max_pairs` is the cap per conversation.
    """

    min_margin: float = 0.02
    min_z: float = 0.5
    max_pairs: int = 10

    def __post_init__(self) -> None:
        if self.min_margin < 0 or self.min_z < 0 or self.max_pairs < 1:
            raise UsageError("min_margin and min_z must be 0 or more, max_pairs 1 or more.")

    def choose(self, scores: Sequence[MRScore]) -> tuple[MRScore, MRScore] | Refusal:
        """Chosen and rejected, or why there is no pair."""
        if len(scores) < 2:
            return Refusal.ONE_CANDIDATE
        ranked = sorted((score for score in scores if score.value is not None), key=float)
        if len(ranked) < 2:
            return Refusal.UNSCORED
        rejected, chosen = ranked[0], ranked[-1]
        margin = float(chosen) - float(rejected)
        if margin <= 0 or margin < self.min_margin:
            return Refusal.MARGIN
        if chosen.stderr is not None and rejected.stderr is not None:
            noise = (chosen.stderr**2 + rejected.stderr**2) ** 0.5
            if margin < self.min_z * noise:
                return Refusal.NOISE
        return chosen, rejected
