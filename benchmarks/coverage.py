"""How often the intervals that the product prints hold the true value: nominally in 95 of 100 cases.

    python benchmarks/coverage.py [--runs 1000] [--n 5 8 10 15 20 50 200] [--below] [--figures share mean] [--json FILE]

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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import Pool
from statistics import fmean, stdev
from typing import Any

import coverage_trials as trials
from table import Row, finish, judged

from collab_sdk.stats import agreement as agreement_module
from collab_sdk.stats import auc as auc_module
from collab_sdk.stats import correlation as correlation_module
from collab_sdk.stats import means as means_module
from collab_sdk.stats import shares as shares_module
from collab_sdk.stats.agreement import LEAST_KAPPA
from collab_sdk.stats.auc import LEAST_AUC
from collab_sdk.stats.correlation import LEAST_CORRELATION
from collab_sdk.stats.means import LEAST_GRID, LEAST_MEAN
from collab_sdk.stats.shares import LEAST_PAIRED_SHARE, LEAST_SHARE

LOW, HIGH, LOWEST = 0.93, 0.97, 0.90
LEAST_PRINTED = 0.1
"""Of the draws: a cell with fewer is `none`. Grid values that happen to be all 0 or 1 are a share with an interval."""
SLOW = "told apart"
"""Fits a classifier for each run, and is measured only where it is asked for."""
LIMITS = (
    (shares_module, "LEAST_SHARE"),
    (shares_module, "LEAST_PAIRED_SHARE"),
    (means_module, "LEAST_MEAN"),
    (means_module, "LEAST_GRID"),
    (auc_module, "LEAST_AUC"),
    (correlation_module, "LEAST_CORRELATION"),
    (agreement_module, "LEAST_KAPPA"),
)
"""The numbers of conversations from which the product prints intervals."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row: a figure of the product on data of one kind."""

    figure: str
    data: str
    trial: trials.Trial
    truths: Sequence[Any]
    least: int
    single: bool = True
    several: bool = True


SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
PAIRED = ((0.1, 0.05), (0.3, 0.1), (0.2, 0.2), (0.4, 0.3), (0.05, 0.05))
RATERS = ((0.5, 0.05, 0.05), (0.5, 0.2, 0.2), (0.2, 0.1, 0.1), (0.87, 0.3, 0.05), (0.5, 0.5, 0.05))
BOTS = ((0.5, 0.8), (0.7, 0.9), (0.9, 0.6), (0.3, 0.95))
PAIRS = tuple(pairwise(BOTS))
QUESTIONS, LESS = (0.3, 0.6, 0.9), ((0.6, 0.3), (0.6, 0.6), (0.9, 0.8))
EACH, OF_EACH = "1 to 4 each", "n of each kind"
CASES = [
    Case("share", "0 or 1", trials.share, SHARES, LEAST_SHARE),
    Case("mean", "normal", trials.mean, ("normal",), LEAST_MEAN),
    Case("mean", "skewed", trials.mean, ("skewed",), LEAST_MEAN),
    Case("mean", "grid", trials.mean, ("grid",), LEAST_GRID),
    *(Case("difference", kind, trials.difference, (kind,), LEAST_MEAN) for kind in ("normal", "skewed", "grid")),
    Case("difference", "of shares", trials.paired_share, PAIRED, LEAST_PAIRED_SHARE),
    Case("useful questions", EACH, trials.questions, QUESTIONS, LEAST_SHARE, single=False),
    Case("useful questions, difference", EACH, trials.questions_difference, LESS, LEAST_SHARE, single=False),
    *(
        case
        for name in ("macro accuracy", "macro F1")
        for case in (
            Case(name, OF_EACH, partial(trials.macro, name), BOTS, LEAST_SHARE, several=False),
            Case(
                f"{name}, difference",
                OF_EACH,
                partial(trials.macro_difference, name),
                PAIRS,
                LEAST_SHARE,
                several=False,
            ),
        )
    ),
    Case("AUC", "normal", trials.auc, (0.5, 0.7, 0.9, 0.97), LEAST_AUC),
    Case("kappa", "yes or no", trials.kappa, RATERS, LEAST_KAPPA),
    Case("correlation", "normal", trials.correlation, (0.0, 0.5, 0.8), LEAST_CORRELATION),
    Case(SLOW, "AUC", partial(trials.told_apart, 0), (0.5,), LEAST_AUC),
    Case(SLOW, "accuracy", partial(trials.told_apart, 1), (0.5,), LEAST_MEAN),
]


def measure(number: int, n: int, several: bool, runs: int, below: bool) -> tuple[list[float], float]:
    """Coverage by truth, and the share of estimates that had an interval."""
    for module, limit in LIMITS if below else ():
        setattr(module, limit, 2)  # the product's own, in this worker
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


def within_one_error(rng: random.Random) -> bool:
    """Whether the `±` of a score from three futures holds the truth."""
    futures = [rng.gauss(0, 1) for _ in range(3)]
    return abs(fmean(futures)) <= stdev(futures) / 3**0.5


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
