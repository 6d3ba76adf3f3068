"""How often the intervals of a calibration hold, and what slope a perfect simulator gets, in worlds with a known truth.

    python benchmarks/calibration.py [--repeats 250] [--turns 20 50 100 200] [--json out.json]

A simulated user is perfect if what real users gave is one more draw of what simulated ones give; its slope is 1. Turns
differ by `between`, futures of one turn by `within`. In chats of 1 to 8 turns, half of the variance between turns is
between chats. Rewards are normal, skewed (exponential noise) or of two values. For what real users would give on
average, `observed` is the share of turns whose end is known.

Coverage is that of the intervals that are printed, `printed` the share of repetitions in which there is one: where
turns are of fewer than ten chats, or differ too little in MR for a slope, none is. Below 50 of them no percentage is
given.
"""

import argparse
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import sqrt
from multiprocessing import Pool
from statistics import fmean, linear_regression, variance
from typing import Any

from table import Row, finish, judged, show

from collab_sdk.stats import Measured, estimate_together, fit_line

Group = list[Measured]
Hits = dict[str, list[bool]]
WORLDS = {
    "normal .2/.3": ("normal", 0.2, 0.3),
    "normal .15/.3": ("normal", 0.15, 0.3),
    "normal .3/.2": ("normal", 0.3, 0.2),
    "skewed .2/.3": ("skewed", 0.2, 0.3),
    "two-valued": ("two-valued", 0.25, 0.0),
}
"""Kind of reward, deviation between turns, deviation within one."""
SLOPE = "slope %"
MEANS = {"mean, half observed %": 0.5, "mean, a fifth %": 0.2}
"""The share of the turns whose end is known."""
LEAST, LOWEST = 93.0, 90.0
"""Coverage over the worlds of one number of turns, and of one world."""
FEWEST = 50
"""Intervals of one world that make a percentage."""


def futures_of(kind: str, worth: float, within: float, rng: random.Random) -> Callable[[], float]:
    if kind == "two-valued":
        return lambda: float(rng.random() < min(max(worth, 0.02), 0.98))
    if kind == "skewed":
        return lambda: worth + within * (rng.expovariate(1.0) - 1)
    return lambda: rng.gauss(worth, within)


def chats(world: str, turns: int, *, samples: int, in_chats: bool, rng: random.Random) -> list[Group]:
    """Turns of a perfect simulator, by chat; the mean of their worth is 0.5."""
    kind, between, within = WORLDS[world]
    groups: list[Group] = []
    while (left := turns - sum(map(len, groups))) > 0:
        size = min(rng.randint(1, 8), left) if in_chats else 1
        shared, own = (sqrt(0.5), sqrt(0.5)) if in_chats else (0.0, 1.0)
        of_chat, group = rng.gauss(0, between * shared), []
        for _ in range(size):
            future = futures_of(kind, 0.5 + of_chat + rng.gauss(0, between * own), within, rng)
            drawn = [future() for _ in range(samples)]
            noise = variance(drawn) / samples if samples > 1 else 0.0
            group.append(Measured(simulated=sum(drawn) / samples, variance=noise, observed=future()))
        groups.append(group)
    return groups


def measure(world: str, in_chats: bool, turns: int, samples: int, repeats: int) -> tuple[Row, Hits]:
    """A row, and for each figure whether the intervals that are printed hold the truth."""
    rng = random.Random(zlib.crc32(repr((world, in_chats, turns, samples)).encode()))
    hits: Hits = {name: [] for name in (SLOPE, *MEANS)}
    for _ in range(repeats):
        made = chats(world, turns, samples=samples, in_chats=in_chats, rng=rng)
        line = fit_line(made)
        if line is not None and line.slope.low is not None and line.slope.high is not None:
            hits[SLOPE].append(line.slope.low <= 1.0 <= line.slope.high)
        for name, share in MEANS.items():
            together = estimate_together(
                [[each if rng.random() < share else replace(each, observed=None) for each in group] for group in made]
            )
            if together is not None and together.low is not None and together.high is not None:
                hits[name].append(together.low <= 0.5 <= together.high)
    row: Row = {"world": world, "chats": "1 to 8" if in_chats else "1", "turns": turns, "samples": samples}
    for name, several in hits.items():
        enough = len(several) >= FEWEST
        row |= {name: 100 * fmean(several) if enough else "-", f"{name}: printed": len(several) / repeats * 100}
    return row, hits


def slope_by_samples(samples: int, turns: int) -> dict[str, Any]:
    """Of very many turns, so that chance plays no part."""
    row: dict[str, Any] = {"samples": samples}
    for world in ("normal .15/.3", "normal .2/.3", "normal .3/.2"):
        rng = random.Random(samples)
        made = chats(world, turns, samples=samples, in_chats=True, rng=rng)
        known = [(turn.simulated, turn.observed or 0.0) for group in made for turn in group]
        row[f"{world}: least squares"] = linear_regression(*zip(*known, strict=True)).slope
        line = fit_line(made) if samples > 1 else None
        row[f"{world}: corrected"] = "-" if line is None else f"{line.slope:.2f}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=250)
    parser.add_argument("--turns", type=int, nargs="+", default=[20, 50, 100, 200])
    parser.add_argument("--samples", type=int, nargs="+", default=[3])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    show([slope_by_samples(samples, 20_000) for samples in (1, 2, 3, 9, 50)])
    print(flush=True)
    cells = product(WORLDS, (False, True), options.turns, options.samples)
    with Pool(options.workers) as pool:
        found = pool.starmap(measure, [(*cell, options.repeats) for cell in cells], chunksize=1)
    verdicts = []
    for name, turns in product((SLOPE, *MEANS), options.turns):
        worlds = [hits[name] for row, hits in found if row["turns"] == turns]
        printed = [hit for each in worlds for hit in each]
        if len(printed) >= FEWEST:
            verdicts.append(judged(f"{name} at {turns} turns", 100 * fmean(printed), at_least=LEAST))
            lowest = min(100 * fmean(each) for each in worlds if len(each) >= FEWEST)
            verdicts.append(judged(f"{name} at {turns} turns, lowest world", lowest, at_least=LOWEST))
    rows = [row for row, _ in found]
    finish(rows, verdicts, options.path)


if __name__ == "__main__":
    main()
