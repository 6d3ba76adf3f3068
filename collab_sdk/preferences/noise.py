"""How far the rewards of a run differ by chance, and how surely one candidate of a turn is better than another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import exp, fsum, isfinite, log, sqrt
from statistics import NormalDist
from typing import Self

from collab_sdk.preferences.contrasts import Contrasts, Rewards

NORMAL = NormalDist()
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Of the mean variance between candidates: in few turns they may differ much, in many by nothing."""
LEVELS = (1 / 64, 1 / 16, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the mean variance within, where turns are found to be unlike in it."""
UNLIKE = 100.0
"""Degrees of freedom: a turn's variance is known so well from the others where they are alike."""
EQUAL, ANCHOR = 0.15, 3.0
"""What is taken for granted of a run before its turns are looked at: in this share of them the candidates are equally
good. It is worth so many turns. Set in simulation (benchmarks/noise.py)."""
PILOT_TURNS = 200
"""Of a run, from its first conversation on, by which all its turns are judged; one with two goals counts as two."""
SIGNIFICANCE = 0.05
ROUNDS = 200
NEGLIGIBLE = 1e-6
STEADIEST = 1e6
"""Degrees of freedom that stand for a variance that is the same in every turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Two candidates of a turn, the better first, as far as the futures tell."""

    chosen: int
    rejected: int
    margin: float
    """By how much it is better on average, over all that the rewards allow: shrunk, so that another draw shows as
    much."""
    confidence: float
    """The probability that it is better at all."""
    odds: tuple[tuple[float, float, float, float], ...]
    """By how far candidates and futures may differ: its weight, mean and variance of the two's difference, and the
    variance of one future's reward."""

    def chance(self, more: int, *, confidence: float, margin: float) -> float:
        """About how probably `more` futures of both make one of them better with this confidence and margin.

        That they may be equally good, and how probable that then is, is left out.
        """
        z = NORMAL.inv_cdf(min(max(confidence, 0.5), 0.9999))
        total = 0.0
        for weight, mean, variance, within in self.odds:
            if variance <= 0:
                continue
            left = 1 / (1 / variance + more / (2 * within))
            moved = sqrt(max(variance - left, 1e-300))
            needed = max(z * sqrt(left), margin)
            total += weight * (NORMAL.cdf((mean - needed) / moved) + NORMAL.cdf((-mean - needed) / moved))
        return total


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """What is pooled over a run: how much one future varies, and how far the candidates of a turn truly differ.

    Futures of the same index share their goal and their draw, so candidates are compared on common indices alone. The
    reward of candidate i in sample j is taken as `c_j + theta_i + e_ij`, with c_j anything and e_ij of variance
    `within` among the futures of one goal: that a guess suits one goal and not another is not by chance, since all are
    played. theta_i is normal. Both variances come from `cells`, a mixture whose weights are found by EM: 0 between
    candidates, which may be equally good, and, where the turns are unlike in it, several within. Source: Stephens 2017
    (adaptive shrinkage by scale mixtures, and the probability that a sign is wrong).
    """

    within: float
    freedom: int
    """Degrees of freedom of `within`; with 0, nothing is known of it."""
    steadiness: float
    """How alike turns are in it, as degrees of freedom (Smyth 2004)."""
    cells: tuple[tuple[float, float, float], ...]
    """Variance within, variance between and weight; empty where the candidates differ by no more than their futures let
    expect."""
    turns: int
    repeats: int
    """Futures beyond a candidate's first: had nothing varied in them, something could in the next."""

    @classmethod
    def of(cls, turns: Iterable[Rewards], goals: Iterable[int] = repeat(1)) -> Self:
        """What the turns of a pilot tell, each with the same number of futures for every candidate."""
        known = [found for found in map(Contrasts.of, turns, goals) if found is not None]
        freedom = sum(each.freedom for each in known)
        within = fsum(each.residual for each in known) / freedom if freedom else 0.0
        steadiness = _steadiness([each for each in known if each.freedom], within)
        repeats = sum(each.repeats for each in known)
        unlike = sum(each.size - 1 for each in known)
        explained = fsum(each.explained for each in known)
        cells: tuple[tuple[float, float, float], ...] = ()
        if (
            freedom
            and unlike
            and isfinite(explained)
            and isfinite(within)
            and _is_significant(explained / unlike, within, unlike, freedom)
        ):
            variance = (explained - within * unlike) / fsum(each.information for each in known)
            within = max(within, 1e-9 * variance)  # not left to rounding
            cells = _mixture(within, variance, known, is_even=steadiness > UNLIKE)
        return cls(
            within=within,
            freedom=freedom,
            steadiness=steadiness,
            cells=cells,
            turns=len(known),
            repeats=repeats,
        )

    @property
    def between(self) -> float:
        """The variance of candidates' true means, over turns; 0 where none is found."""
        return fsum(variance * weight for _, variance, weight in self.cells)

    def order(self, rewards: Rewards, *, goals: int = 1, may_be_chosen: Sequence[bool] | None = None) -> Order | None:
        """The two candidates of a turn whose order is surest, however far apart; None where nothing tells any apart.

        `may_be_chosen` says by candidate whether it can be the better one; by default each can.
        """
        found = Contrasts.of(rewards, goals) if self.cells else None
        if found is None:
            return None
        views = _posterior(found, self.cells)
        # Futures that were all the same are no proof that the next one is: what never happened in n (Jeffreys).
        most = 1 - 0.5 / (self.repeats + found.further + 1)
        best: Order | None = None
        for better in range(found.size):
            if may_be_chosen is not None and not may_be_chosen[found.places[better]]:
                continue
            for worse in range(found.size):
                odds = tuple(view.difference(better, worse) for view in views)
                margin = fsum(weight * mean for weight, mean, _, _ in odds)
                if better == worse or margin <= 0:
                    continue
                sure = fsum(weight * _probability(mean, variance, self.freedom) for weight, mean, variance, _ in odds)
                sure = min(sure, most)
                if best is None or (sure, margin) > (best.confidence, best.margin):
                    best = Order(
                        chosen=found.places[better],
                        rejected=found.places[worse],
                        margin=margin,
                        confidence=sure,
                        odds=odds,
                    )
        return best

    def price(
        self,
        turns: Iterable[Rewards],
        goals: Iterable[int] = repeat(1),
        *,
        most: int,
        confidence: float,
        margin: float,
    ) -> float:
        """How many pairs one future is worth in this run: what the best use of up to `most` for each candidate yields.

        `turns` have the futures that come first. It is the ratio of pairs to futures that no other fixed use betters
        (Dinkelbach 1967); 0 where no pair is to be had.
        """
        uses: list[list[tuple[float, int]]] = []
        for rewards, cycle in zip(turns, goals, strict=False):
            played, order = sum(map(len, rewards)), self.order(rewards, goals=cycle)
            if order is None:
                uses.append([(0.0, played)])
            elif order.confidence >= confidence:
                uses.append([(float(order.margin >= margin), played)])
            else:
                first = min(len(rewards[order.chosen]), len(rewards[order.rejected]))
                more = range(cycle, most - first + 1, cycle)
                uses.append(
                    [(0.0, played)]
                    + [(order.chance(n, confidence=confidence, margin=margin), played + 2 * n) for n in more]
                )
        price = 0.0
        for _ in range(ROUNDS):
            best = [max(use, key=lambda each: each[0] - price * each[1]) for use in uses]
            spent = sum(futures for _, futures in best)
            found = fsum(pairs for pairs, _ in best) / spent if spent else 0.0
            if found <= price:
                break
            price = found
        return price


@dataclass(frozen=True, kw_only=True, slots=True)
class Pilot:
    """What the first conversations of a run fix for all of it, themselves included."""

    noise: Noise
    price: float
    """Pairs that one future more is worth."""
    conversations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """What a turn's candidates are, if they and their futures differ by one pair of variances."""

    weight: float
    within: float
    means: Sequence[float] = ()
    covariance: Sequence[Sequence[float]] = ()

    def difference(self, one: int, other: int) -> tuple[float, float, float, float]:
        """As `Order.odds` has it."""
        if not self.means:
            return self.weight, 0.0, 0.0, self.within
        spread = self.covariance
        return (
            self.weight,
            self.means[one] - self.means[other],
            spread[one][one] + spread[other][other] - 2 * spread[one][other],
            self.within,
        )


def _posterior(found: Contrasts, cells: Sequence[tuple[float, float, float]]) -> list[_View]:
    fits = [found.fit(variance, within) if variance else None for within, variance, _ in cells]
    weights = _normalised(
        [
            log(weight) + found.likelihood(within) + (fit.likelihood if fit else 0.0)
            for fit, (within, _, weight) in zip(fits, cells, strict=True)
        ]
    )
    return [
        _View(weight=weight, within=within, means=fit.means, covariance=fit.covariance())
        if fit
        else _View(weight=weight, within=within)
        for weight, fit, (within, _, _) in zip(weights, fits, cells, strict=True)
        if weight > NEGLIGIBLE
    ]


def _mixture(
    within: float, variance: float, known: Sequence[Contrasts], *, is_even: bool
) -> tuple[tuple[float, float, float], ...]:
    """Variances within and between, and how often they go together, by EM.

    Those of turns whose futures vary more may differ less. `ANCHOR` turns speak for what is taken for granted.
    """
    levels = (1.0,) if is_even else LEVELS
    pairs = [(level, scale) for level in levels for scale in (0.0, *SCALES)]
    likelihoods = [
        _normalised(
            [
                each.likelihood(level * within)
                + (each.fit(scale * variance, level * within).likelihood if scale else 0.0)
                for level, scale in pairs
            ]
        )
        for each in known
    ]
    granted = [ANCHOR * (level == 1.0) * {0.0: EQUAL, 1.0: 1 - EQUAL}.get(scale, 0.0) for level, scale in pairs]
    weights = [1 / len(pairs)] * len(pairs)
    for _ in range(ROUNDS):
        counts = granted[:]
        for likelihood in likelihoods:
            shares = [weight * each for weight, each in zip(weights, likelihood, strict=True)]
            whole = fsum(shares)
            for n, share in enumerate(shares):
                counts[n] += share / whole
        weights = [count / (ANCHOR + len(known)) for count in counts]
    return tuple(
        (level * within, scale * variance, weight)
        for (level, scale), weight in zip(pairs, weights, strict=True)
        if weight > NEGLIGIBLE
    )


def _steadiness(known: Sequence[Contrasts], within: float) -> float:
    """How alike the turns' own variances are, as degrees of freedom, by their first two moments."""
    if len(known) < 2 or not within:
        return STEADIEST
    spread = fsum((each.residual / each.freedom - within) ** 2 - 2 * within**2 / each.freedom for each in known)
    relative = spread / fsum(1 + 2 / each.freedom for each in known) / within**2
    return min(STEADIEST, 4 + 2 / relative) if relative > 0 else STEADIEST


def _is_significant(between: float, within: float, unlike: int, freedom: int) -> bool:
    """An F test, by Paulson's normal approximation (Annals of Mathematical Statistics 1942)."""
    if not within:
        return between > 0
    root, one, two = (between / within) ** (1 / 3), 2 / (9 * unlike), 2 / (9 * freedom)
    z = ((1 - two) * root - (1 - one)) / sqrt(two * root**2 + one)
    return bool(z > NORMAL.inv_cdf(1 - SIGNIFICANCE))


def _probability(mean: float, variance: float, freedom: float) -> float:
    """That a difference is above 0, whose variance is known to so many degrees of freedom."""
    if variance <= 0:
        return float(mean > 0)
    # Student's t, by the normal quantile of the same tail (Wallace 1959).
    t = mean / sqrt(variance)
    z = sqrt(freedom * log(1 + t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return NORMAL.cdf(z if t > 0 else -z)


def _normalised(logs: Sequence[float]) -> list[float]:
    highest = max(logs)
    shares = [exp(value - highest) for value in logs]
    whole = fsum(shares)
    return [share / whole for share in shares]
