"""Shares, and differences of two shares of the same conversations, by score intervals."""

from collab_sdk.stats.clusters import Groups, clusters_of
from collab_sdk.stats.estimate import Estimate
from collab_sdk.stats.quantiles import LEVEL, Z, bisect, gamma

LEAST_SHARE = 8
"""Conversations from which a share has an interval: with fewer, benchmarks/coverage.py finds it to hold too often."""
LEAST_PAIRED_SHARE = 10
RARE, RARE_OF_MANY, MANY = 2, 3, 50
"""Cases up to which a share is rare: up to `MANY` values, and of more."""


def estimate_share(groups: Groups) -> Estimate | None:
    """The share of values that are 1 and not 0, with Wilson's interval; None if there is no value.

    It is that of the effective number of values, which is theirs over the design effect of their conversations, and
    corrected near 0 and 1 (Brown, Cai and DasGupta 2001, Interval Estimation for a Binomial Proportion, section 4.1.1;
    Dean and Pagano 2015 for clustered data). Of 30 out of 30 it says 0.89 to 1.
    """
    if not any(groups):
        return None
    found = clusters_of(groups)
    count = round(found.mean * found.n)
    if len(found.sizes) < LEAST_SHARE:
        return Estimate(mean=found.mean, low=None, high=None, n=found.n, count=count)
    effective = found.n / found.design_effect
    low, high = score_interval(found.mean, effective, Z)
    rare = RARE if effective <= MANY else RARE_OF_MANY
    if 0 < found.mean * effective <= rare:
        low = min(low, gamma(found.mean * effective, 1 - LEVEL) / effective)
    if 0 < (1 - found.mean) * effective <= rare:
        high = max(high, 1 - gamma((1 - found.mean) * effective, 1 - LEVEL) / effective)
    return Estimate(mean=found.mean, low=low, high=high, n=found.n, count=count)


def score_interval(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's (1927), within [0, 1]."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, centre - reach) if share else 0.0, min(1.0, centre + reach) if share < 1 else 1.0


def estimate_paired_share(groups: Groups) -> Estimate | None:
    """The mean of values -1, 0 and 1: the difference of two shares of the same turns.

    With Tango's score interval (Statistics in Medicine 1998), on the effective number of values. It has a width even
    where no turn differs: of 30 turns on which two bots are alike, it says -0.11 to 0.11.
    """
    if not any(groups):
        return None
    found = clusters_of(groups)
    up, down = (sum(value == side for group in groups for value in group) for side in (1, -1))
    if len(found.sizes) < LEAST_PAIRED_SHARE:
        note = f"{up} up, {down} down of {found.n}"
        return Estimate(mean=found.mean, low=None, high=None, n=found.n, note=note)
    scale = 1 / found.design_effect
    low, high = _tango(up * scale, down * scale, found.n * scale)
    return Estimate(mean=found.mean, low=low, high=high, n=found.n)


def _tango(up: float, down: float, n: float) -> tuple[float, float]:
    """The differences that a score test of 5 % does not reject."""

    def score(difference: float) -> float:
        b = (2 * n - up + down) * difference - up - down
        nuisance = ((b * b + 8 * n * down * difference * (1 - difference)) ** 0.5 - b) / (4 * n)
        variance = n * (2 * nuisance + difference * (1 - difference))
        distance = n * difference - (up - down)
        return distance / variance**0.5 if variance > 0 else (distance > 0) * 1e9 - (distance < 0) * 1e9

    middle = (up - down) / n
    low = bisect(lambda difference: score(difference) + Z, -1.0, middle)
    high = bisect(lambda difference: score(difference) - Z, middle, 1.0)
    return low, high
