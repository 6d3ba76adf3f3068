"""Which pair of a turn's candidates is worth training on, and why the others are not."""

from collections.abc import Sequence
from enum import StrEnum

from collab_sdk.spec import PairRule
from collab_sdk.types import MRScore


class Refusal(StrEnum):
    """Why a turn gives no pair."""

    BROKEN_OFF = "the logged response was broken off"
    UNTRAINED = "the log excludes the response from training"
    ONE_CANDIDATE = "fewer than two distinct candidates"
    UNSCORED = "fewer than two candidates could be scored"
    ENDLESS = "no scored candidate ended by itself"
    MARGIN = "the margin is too small"
    NOISE = "the margin is within its standard error"
    CAP = "the conversation has enough pairs with larger margins"
    REVIEW = "a reviewer dropped the pair"


def choose_pair(scores: Sequence[MRScore], rule: PairRule) -> tuple[MRScore, MRScore] | Refusal:
    """Chosen and rejected, the best and the worst by `rule`, or why there is no pair.

    A response that was cut off or filtered is never chosen: what learns from it learns to break off.
    """
    if len(scores) < 2:
        return Refusal.ONE_CANDIDATE
    ranked = sorted((score for score in scores if score.value is not None), key=float)
    if len(ranked) < 2:
        return Refusal.UNSCORED
    if (chosen := next((score for score in reversed(ranked) if not score.ended), None)) is None:
        return Refusal.ENDLESS
    rejected = ranked[0]
    margin = float(chosen) - float(rejected)
    if margin <= 0 or margin < rule.min_margin:
        return Refusal.MARGIN
    if chosen.stderr is not None and rejected.stderr is not None:
        noise = (chosen.stderr**2 + rejected.stderr**2) ** 0.5
        if margin < rule.min_z * noise:
            return Refusal.NOISE
    return chosen, rejected
