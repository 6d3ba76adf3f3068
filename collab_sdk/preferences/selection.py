"""Which pair of a turn's candidates is worth training on, and why the others are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import fsum

from collab_sdk.preferences.noise import Noise
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
    NOISE = "another draw could well turn the order"
    MISSING = "the futures that are missing could turn the order"
    CAP = "the conversation has enough pairs with larger margins"
    REVIEW = "a reviewer dropped the pair"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Two candidates of a turn, with what is to be thought of their order; None where nothing is known of noise."""

    chosen: MRScore
    rejected: MRScore
    margin: float | None = None
    confidence: float | None = None


def choose_pair(scores: Sequence[MRScore], rule: PairRule, noise: Noise, *, goals: int = 1) -> Choice | Refusal:
    """Of candidates whose samples have `goals` goals in turn, the two whose order is surest, or why they are no pair.

    Best and worst are taken by their raw margin where no confidence is asked for, as in the paper. A response that was
    cut off or filtered is never chosen: what learns from it learns to break off.
    """
    if len(scores) < 2:
        return Refusal.ONE_CANDIDATE
    ranked = sorted((score for score in scores if score.value is not None), key=float)
    if len(ranked) < 2:
        return Refusal.UNSCORED
    whole = [score for score in ranked if not score.ended]
    if not whole:
        return Refusal.ENDLESS
    apart = float(whole[-1]) - float(ranked[0])
    if apart <= 0 or apart < rule.min_margin:
        return Refusal.MARGIN
    if not rule.min_confidence:
        return Choice(chosen=whole[-1], rejected=ranked[0])
    rewards = [rewards_of(score) if score.value is not None else () for score in scores]
    order = noise.order(rewards, goals=goals, may_be_chosen=[not score.ended for score in scores])
    if order is None or order.confidence < rule.min_confidence:
        return Refusal.NOISE
    if order.margin < rule.min_margin:
        return Refusal.MARGIN
    chosen, rejected = scores[order.chosen], scores[order.rejected]
    if _could_turn(chosen, rejected, scores):
        return Refusal.MISSING
    return Choice(chosen=chosen, rejected=rejected, margin=order.margin, confidence=order.confidence)


def rewards_of(score: MRScore | None) -> list[float | None]:
    return [future.reward for future in score.futures] if score else []


def _could_turn(chosen: MRScore, rejected: MRScore, scores: Sequence[MRScore]) -> bool:
    """Whether the order hangs on futures that one of the two lost, had they ended as ill for it as any of the turn's.

    What both lost in the same samples is in no comparison.
    """
    known = [reward for score in scores for reward in rewards_of(score) if reward is not None]
    pairs = list(zip(rewards_of(chosen), rewards_of(rejected), strict=False))
    if all((better is None) == (worse is None) for better, worse in pairs):
        return False
    differences = [
        (min(known) if better is None else better) - (max(known) if worse is None else worse)
        for better, worse in pairs
        if better is not None or worse is not None
    ]
    return fsum(differences) <= 0
