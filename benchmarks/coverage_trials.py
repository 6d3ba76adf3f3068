"""Data with a known truth, and what the product estimates from them, for `coverage.py`."""

import random
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import Any

from collab_sdk import stats
from collab_sdk.evaluation.asking_statistics import MACROS, Openings, estimate_macro, estimate_macro_difference
from collab_sdk.evaluation.statistics import estimate_share_difference
from collab_sdk.fidelity.telling_apart import two_sample_test
from collab_sdk.stats import Estimate

ALIKE = 0.3
NORMAL = NormalDist()
WORDS = [first + second for first in "abcdefgh" for second in "aeiou"]
Rng = random.Random
Trial = Callable[[Rng, int, bool, Any], tuple[Estimate | None, float]]
"""From n conversations, whether they have several turns, and what is true: an estimate, and the true value."""


def sizes(rng: Rng, n: int, several: bool) -> Iterator[int]:
    return (rng.randint(1, 8) if several else 1 for _ in range(n))


def mood(rng: Rng, share: float) -> float:
    """A conversation's own chance of a yes."""
    more = 1 / ALIKE - 1
    return rng.betavariate(share * more, (1 - share) * more)


def yes(rng: Rng, n: int, several: bool, share: float) -> list[list[float]]:
    groups = []
    for size in sizes(rng, n, several):
        chance = mood(rng, share) if several else share
        groups.append([float(rng.random() < chance) for _ in range(size)])
    return groups


def share(rng: Rng, n: int, several: bool, truth: float) -> tuple[Estimate | None, float]:
    return stats.estimate_mean(yes(rng, n, several, truth)), truth


def reward(rng: Rng, kind: str, common: Any) -> float:
    """Of one turn, with what it has in common with the others of its conversation."""
    if kind == "grid":
        return (int(rng.random() < common) + int(rng.random() < common)) / 2
    own = rng.gauss(0, 1) if kind == "normal" else rng.expovariate(1)
    return float(own if common is None else ALIKE * common + (1 - ALIKE) * own)


def in_common(rng: Rng, kind: str, several: bool) -> Any:
    if kind == "grid":
        return mood(rng, 0.8) if several else 0.8
    if not several:
        return None
    return rng.gauss(0, 1) if kind == "normal" else rng.expovariate(1)


TRUE_MEAN = {"normal": 0.0, "skewed": 1.0, "grid": 0.8}


def mean(rng: Rng, n: int, several: bool, kind: str) -> tuple[Estimate | None, float]:
    groups = []
    for size in sizes(rng, n, several):
        common = in_common(rng, kind, several)
        groups.append([reward(rng, kind, common) for _ in range(size)])
    return stats.estimate_mean(groups), TRUE_MEAN[kind]


def difference(rng: Rng, n: int, several: bool, kind: str) -> tuple[Estimate | None, float]:
    """Of two bots on the same turns: a hard one is hard for both; the second one varies twice as much."""
    groups = []
    for size in sizes(rng, n, several):
        hard, common = rng.random() / 4, in_common(rng, kind, several)
        pairs = ((reward(rng, kind, common), 2 * reward(rng, kind, common)) for _ in range(size))
        groups.append([(hard + before, hard + after) for before, after in pairs])
    return stats.estimate_difference(groups), TRUE_MEAN[kind]


def paired_share(rng: Rng, n: int, several: bool, truth: tuple[float, float]) -> tuple[Estimate | None, float]:
    """`truth`: how often the second bot alone is right, and the first alone."""

    def turn() -> tuple[float, float]:
        chance = rng.random()
        if chance < sum(truth):
            return (0.0, 1.0) if chance < truth[0] else (1.0, 0.0)
        return (1.0, 1.0)

    groups = []
    for size in sizes(rng, n, several):
        common = turn()
        groups.append([common if several and rng.random() < ALIKE**0.5 else turn() for _ in range(size)])
    return stats.estimate_difference(groups), truth[0] - truth[1]


def questions(rng: Rng, n: int, _: bool, truth: float) -> tuple[Estimate | None, float]:
    """Of 1 to 4 questions a conversation."""
    return stats.estimate_share(asked(rng, n, truth)), truth


def asked(rng: Rng, n: int, truth: float) -> list[list[float]]:
    chances = (mood(rng, truth) for _ in range(n))
    return [[float(rng.random() < chance) for _ in range(rng.randint(1, 4))] for chance in chances]


def questions_difference(rng: Rng, n: int, _: bool, truth: tuple[float, float]) -> tuple[Estimate | None, float]:
    more, less = (asked(rng, n, one) for one in truth)
    return estimate_share_difference(more, less), truth[0] - truth[1]


def openings(rng: Rng, n: int, truths: Sequence[tuple[float, float]]) -> list[list[list[tuple[bool, bool]]]]:
    """Of n ambiguous and n clear ones, what each bot does: all find the same ones hard."""
    bots: list[list[list[tuple[bool, bool]]]] = [[] for _ in truths]
    for place in range(2 * n):
        ambiguous, hard = place < n, rng.gauss(0, 1)
        for labelled, (asks, answers) in zip(bots, truths, strict=True):
            own = 0.7 * hard + 0.51**0.5 * rng.gauss(0, 1)
            right = NORMAL.cdf(own) < (asks if ambiguous else answers)
            labelled.append([(ambiguous, right is ambiguous)])
    return bots


def true_macro(name: str, truth: tuple[float, float], n: int) -> float:
    return MACROS[name](Openings(ambiguous=n, asked=truth[0] * n, clear=n, answered=truth[1] * n))


def macro(name: str, rng: Rng, n: int, _: bool, truth: tuple[float, float]) -> tuple[Estimate | None, float]:
    [labelled] = openings(rng, n, [truth])
    return estimate_macro(labelled, MACROS[name]), true_macro(name, truth, n)


def macro_difference(name: str, rng: Rng, n: int, _: bool, truth: Any) -> tuple[Estimate | None, float]:
    more, less = openings(rng, n, truth)
    true = [true_macro(name, one, n) for one in truth]
    return estimate_macro_difference(more, less, MACROS[name]), true[0] - true[1]


def auc(rng: Rng, n: int, several: bool, truth: float) -> tuple[Estimate | None, float]:
    apart = NORMAL.inv_cdf(truth) * 2**0.5
    positives: dict[str, list[float]] = {}
    negatives: dict[str, list[float]] = {}
    for place, size in enumerate(sizes(rng, n, several)):
        common = rng.gauss(0, ALIKE**0.5)
        for scores, above in ((positives, apart), (negatives, 0.0)):
            scores[str(place)] = [above + common + rng.gauss(0, (1 - ALIKE) ** 0.5) for _ in range(size)]
    return stats.estimate_auc(positives, negatives), truth


def correlation(rng: Rng, n: int, several: bool, truth: float) -> tuple[Estimate | None, float]:
    groups = []
    for size in sizes(rng, n, several):
        common = [rng.gauss(0, ALIKE**0.5) for _ in range(2)]
        pairs = []
        for _ in range(size):
            x, y = (each + rng.gauss(0, (1 - ALIKE) ** 0.5) for each in common)
            pairs.append((x, truth * x + (1 - truth**2) ** 0.5 * y))
        groups.append(pairs)
    return stats.estimate_correlation(groups), truth


def told_apart(place: int, rng: Rng, n: int, several: bool, _: float) -> tuple[Estimate | None, float]:
    """Of users that say the same things as the real ones: nothing can tell them apart."""

    def said() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(2, 8)))

    pairs = [(str(name), [(said(), said()) for _ in range(size)]) for name, size in enumerate(sizes(rng, n, several))]
    found = two_sample_test(pairs)
    return (found[place] if found else None), 0.5


def kappa(rng: Rng, n: int, several: bool, truth: tuple[float, float, float]) -> tuple[Estimate | None, float]:
    """Of two who both err about the same thing. `truth`: how often it is so, and how often each of them errs."""

    def turn() -> tuple[bool, bool]:
        is_so, *errs = (rng.random() < share for share in truth)
        return is_so ^ errs[0], is_so ^ errs[1]

    groups = []
    for size in sizes(rng, n, several):
        common = turn()
        groups.append([common if several and rng.random() < ALIKE**0.5 else turn() for _ in range(size)])
    return stats.estimate_kappa(groups), true_kappa(*truth)


def true_kappa(is_so: float, first: float, second: float) -> float:
    yes = [is_so * (1 - errs) + (1 - is_so) * errs for errs in (first, second)]
    agreed = first * second + (1 - first) * (1 - second)
    by_chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    return (agreed - by_chance) / (1 - by_chance)
