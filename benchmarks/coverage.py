"""How often the intervals that the product prints hold the true value: nominally in 95 of 100 cases.

    python benchmarks/coverage.py [--runs 1000] [--n 5 8 10 20 50 200] [--below] [--figures share mean] [--json FILE]

Data with a known truth are drawn `--runs` times for every number of conversations, and given to the functions that the
commands call. `turns`: one a conversation, or 1 to 8 that are alike (intra-class correlation about 0.3). A cell is the
coverage averaged over the truths of its row, and `none` where no interval is printed, because there are fewer
conversations than `from`; `lowest` is the lowest coverage of a single truth at a single n.
With `--below` intervals are measured below that number, too: it was chosen by this. The verdicts allow for the
draws: a coverage of 0.95 out of 1000 has a standard error of 0.007.

The rows `mean` and `difference` draw normal, skewed (exponential) and grid (0, 1/2, 1) rewards.
`--figures "told apart"` measures the test of `check-sim`, whose classifiers take a while, on users that nothing can
tell apart.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import Pool
from statistics import NormalDist, fmean, stdev
from typing import Any

from table import Row, finish, judged

from collab_sdk import stats
from collab_sdk.evaluation.asking_statistics import MACROS, Openings, estimate_macro, estimate_macro_less
from collab_sdk.evaluation.statistics import estimate_share_less
from collab_sdk.fidelity.telling_apart import two_sample_test
from collab_sdk.stats import Estimate
from collab_sdk.stats import agreement as agreement_module
from collab_sdk.stats import auc as auc_module
from collab_sdk.stats import correlation as correlation_module
from collab_sdk.stats import means as means_module
from collab_sdk.stats import shares as shares_module

ALIKE = 0.3
LOW, HIGH, LOWEST = 0.93, 0.97, 0.90
NORMAL = NormalDist()
WORDS = [first + second for first in "abcdefgh" for second in "aeiou"]
LEAST_PRINTED = 0.1
"""Of the draws: a cell with fewer is `none`. Grid values that happen to be all 0 or 1 are a share with an interval."""
SLOW = "told apart"
"""Fits a classifier for each run, and is measured only where it is asked for."""
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
Rng = random.Random
Trial = Callable[[Rng, int, bool, Any], tuple[Estimate | None, float]]
"""From n conversations, whether they have several turns, and what is true: an estimate, and the true value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A row: a figure of the product on data of one kind."""

    figure: str
    data: str
    trial: Trial
    truths: Sequence[Any]
    least: int
    single: bool = True
    several: bool = True


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


def questions_less(rng: Rng, n: int, _: bool, truth: tuple[float, float]) -> tuple[Estimate | None, float]:
    more, less = (asked(rng, n, one) for one in truth)
    return estimate_share_less(more, less), truth[0] - truth[1]


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


def macro_less(name: str, rng: Rng, n: int, _: bool, truth: Any) -> tuple[Estimate | None, float]:
    more, less = openings(rng, n, truth)
    true = [true_macro(name, one, n) for one in truth]
    return estimate_macro_less(more, less, MACROS[name]), true[0] - true[1]


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


def within_one_error(rng: Rng) -> bool:
    """Whether the `±` of a score from three futures holds the truth."""
    futures = [rng.gauss(0, 1) for _ in range(3)]
    return abs(fmean(futures)) <= stdev(futures) / 3**0.5


PAIRED = ((0.1, 0.05), (0.3, 0.1), (0.2, 0.2), (0.4, 0.3), (0.05, 0.05))
RATERS = ((0.5, 0.05, 0.05), (0.5, 0.2, 0.2), (0.2, 0.1, 0.1), (0.87, 0.3, 0.05), (0.5, 0.5, 0.05))
BOTS = ((0.5, 0.8), (0.7, 0.9), (0.9, 0.6), (0.3, 0.95))
CASES = [
    Case(figure="share", data="0 or 1", trial=share, truths=SHARES, least=shares_module.LEAST_SHARE),
    *(
        Case(figure="mean", data=kind, trial=mean, truths=(kind,), least=least)
        for kind, least in (
            ("normal", means_module.LEAST_MEAN),
            ("skewed", means_module.LEAST_MEAN),
            ("grid", means_module.LEAST_GRID),
        )
    ),
    *(
        Case(figure="difference", data=kind, trial=difference, truths=(kind,), least=means_module.LEAST_MEAN)
        for kind in ("normal", "skewed", "grid")
    ),
    Case(
        figure="difference",
        data="of shares",
        trial=paired_share,
        truths=PAIRED,
        least=shares_module.LEAST_PAIRED_SHARE,
    ),
    Case(
        figure="useful questions",
        data="1 to 4 each",
        trial=questions,
        truths=(0.3, 0.6, 0.9),
        least=shares_module.LEAST_SHARE,
        single=False,
    ),
    Case(
        figure="useful questions, difference",
        data="1 to 4 each",
        trial=questions_less,
        truths=((0.6, 0.3), (0.6, 0.6), (0.9, 0.8)),
        least=shares_module.LEAST_SHARE,
        single=False,
    ),
    *(
        case
        for name in ("macro accuracy", "macro F1")
        for case in (
            Case(
                figure=name,
                data="n of each kind",
                trial=partial(macro, name),
                truths=BOTS,
                least=shares_module.LEAST_SHARE,
                several=False,
            ),
            Case(
                figure=f"{name}, difference",
                data="n of each kind",
                trial=partial(macro_less, name),
                truths=tuple(pairwise(BOTS)),
                least=shares_module.LEAST_SHARE,
                several=False,
            ),
        )
    ),
    Case(figure="AUC", data="normal", trial=auc, truths=(0.5, 0.7, 0.9, 0.97), least=auc_module.LEAST_AUC),
    Case(figure="kappa", data="yes or no", trial=kappa, truths=RATERS, least=agreement_module.LEAST_KAPPA),
    Case(
        figure="correlation",
        data="normal",
        trial=correlation,
        truths=(0.0, 0.5, 0.8),
        least=correlation_module.LEAST_CORRELATION,
    ),
    *(
        Case(figure=SLOW, data=data, trial=partial(told_apart, place), truths=(0.5,), least=least)
        for place, (data, least) in enumerate(
            (("AUC", auc_module.LEAST_AUC), ("accuracy", means_module.LEAST_MEAN)),
        )
    ),
]


def measure(number: int, n: int, several: bool, runs: int, below: bool) -> tuple[list[float], float]:
    """Coverage by truth, and the share of estimates that had an interval."""
    if below:
        shares_module.LEAST_SHARE = shares_module.LEAST_PAIRED_SHARE = means_module.LEAST_MEAN = 2
        means_module.LEAST_GRID = auc_module.LEAST_AUC = correlation_module.LEAST_CORRELATION = (
            agreement_module.LEAST_KAPPA
        ) = 2
    case = CASES[number]
    coverages, printed = [], 0
    for place, truth in enumerate(case.truths):
        rng, held, shown = random.Random(f"{number}/{n}/{several}/{place}"), 0, 0
        for _ in range(runs):
            estimate, true = case.trial(rng, n, several, truth)
            if estimate is not None and estimate.low is not None and estimate.high is not None:
                shown += 1
                held += estimate.low <= true <= estimate.high
        printed += shown
        if shown:
            coverages.append(held / shown)
    return coverages, printed / (runs * len(case.truths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--n", type=int, nargs="+", default=[5, 8, 10, 15, 20, 50, 200])
    parser.add_argument("--below", action="store_true")
    parser.add_argument("--figures", nargs="+", default=sorted({case.figure for case in CASES} - {SLOW}))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    chosen = [
        (number, several)
        for number, case in enumerate(CASES)
        if case.figure in options.figures
        for several, is_drawn in ((False, case.single), (True, case.several))
        if is_drawn
    ]
    started = time.perf_counter()
    jobs = [(number, n, several, options.runs, options.below) for number, several in chosen for n in options.n]
    with Pool(options.workers) as pool:
        found = dict(
            zip(((job[0], job[2], job[1]) for job in jobs), pool.starmap(measure, jobs, chunksize=1), strict=True)
        )
    rows: list[Row] = []
    averages: list[tuple[float, float]] = []
    shares_lowest: list[float] = []
    for number, several in chosen:
        case, cells = CASES[number], {n: found[number, several, n] for n in options.n}
        cells = {
            n: (coverages if printed >= LEAST_PRINTED else [], printed) for n, (coverages, printed) in cells.items()
        }
        lowest = min((value for coverages, _ in cells.values() for value in coverages), default=float("nan"))
        row: Row = {"figure": case.figure, "data": case.data, "turns": "1 to 8" if several else "1", "from": case.least}
        row |= {f"n={n}": f"{fmean(coverages):.3f}" if coverages else "none" for n, (coverages, _) in cells.items()}
        rows.append({**row, "lowest": f"{lowest:.3f}"})
        for coverages, _ in cells.values():
            if coverages:
                average, draws = fmean(coverages), options.runs * len(case.truths)
                averages.append((average, 2 * (average * (1 - average) / draws) ** 0.5))
        shares_lowest += [lowest] if case.figure == "share" else []
    verdicts = [
        judged("lowest average at an n, and 2 standard errors", min(map(sum, averages)), at_least=LOW),
        judged("highest average at an n, less 2 standard errors", max(a - b for a, b in averages), at_most=HIGH),
    ]
    if shares_lowest:
        verdicts.append(judged("lowest coverage of a share", min(shares_lowest), at_least=LOWEST))
    finish(rows, verdicts, options.path, runs=options.runs, seconds=time.perf_counter() - started)
    rng = random.Random(0)
    within = fmean(within_one_error(rng) for _ in range(10_000))
    print(f"\nOne standard error of a score from three futures holds the truth in {within:.2f} of cases.")


if __name__ == "__main__":
    main()
