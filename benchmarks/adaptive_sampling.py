"""How many futures adaptive sampling saves at the same rate of correctly ordered pairs, on synthetic rewards.

    python benchmarks/adaptive_sampling.py [--turns 200000] [--samples 3 8 16] [--candidates 2 3] [--json out.json]

A future's reward is normal, with the means and deviations of the paper's table 5 for the best and the worst candidate
and evenly spaced ones between them. A turn is right if the candidate with the highest mean reward is truly better than
the one with the lowest. `SamplingRule.like(n)` is compared with `n` futures for every candidate, on the same rewards.

`fewer %` is against that n; `at equal %` against the number, interpolated, that is right as often as the rule was.
`limit %` is what no sequential test can pass with two candidates, even one that knows both distributions but for their
order (Wald's test in continuous time); rounding to whole futures and the first two of each lower it further: against
three futures, two of which come first, nothing can save more than a third.
"""

import argparse
import random
import time
from itertools import accumulate, pairwise
from math import log
from multiprocessing import Pool
from statistics import NormalDist
from typing import Any

from table import finish, judged

from collab_sdk.preferences import SamplingRule

SCENES = {"documents": ((0.312, 0.104), (0.246, 0.113)), "code": ((0.494, 0.621), (0.207, 0.763))}
"""Mean and deviation of the best candidate and of the worst."""
TARGET = 40.0


def candidates_of(scene: str, n: int) -> list[tuple[float, float]]:
    """Mean and deviation of each, the best first."""
    (best, best_sd), (worst, worst_sd) = SCENES[scene]
    steps = [i / (n - 1) for i in range(n)]
    return [(best + (worst - best) * step, best_sd + (worst_sd - best_sd) * step) for step in steps]


def is_right(means: list[float]) -> bool:
    return means.index(max(means)) < means.index(min(means))


def measure(scene: str, candidates: int, samples: int, turns: int, seed: int) -> dict[str, Any]:
    rng, rule = random.Random(seed), SamplingRule.like(samples, candidates=candidates)
    truth = candidates_of(scene, candidates)
    futures = right = 0
    fixed = [0] * (samples * 5 // 4 + 3)
    for _ in range(turns):
        streams = [[rng.gauss(mean, sd) for _ in range(max(rule.ceiling, len(fixed)))] for mean, sd in truth]
        sums = [list(accumulate(stream[: len(fixed) - 1])) for stream in streams]
        for n in range(1, len(fixed)):
            fixed[n] += is_right([total[n - 1] for total in sums])
        drawn: list[list[float]] = [[] for _ in streams]
        while any(batch := rule.next_batch(drawn)):
            for known, stream, more in zip(drawn, streams, batch, strict=True):
                known += stream[len(known) : len(known) + more]
        futures += sum(map(len, drawn))
        right += is_right([sum(rewards) / len(rewards) for rewards in drawn])
    mean = futures / turns / candidates
    return {
        "rewards": scene,
        "candidates": candidates,
        "fixed n": samples,
        "z": rule.z,
        "futures": mean,
        "fewer %": 100 * (1 - mean / samples),
        "fixed right %": 100 * fixed[samples] / turns,
        "right %": 100 * right / turns,
        "points": 100 * (right - fixed[samples]) / turns,
        "at equal %": 100 * (1 - mean / as_good_as(right, fixed)),
        "limit %": limit(scene, samples) if candidates == 2 else "-",
    }


def as_good_as(right: int, fixed: list[int]) -> float:
    """The fixed number of futures that is right as often, between whole numbers by interpolation."""
    for n, (below, above) in enumerate(pairwise(fixed)):
        if below <= right <= above:
            return n + (right - below) / (above - below)
    return float("nan")


def limit(scene: str, samples: int) -> float:
    """What Wald's test saves: its mean sample size is (1 - 2e) ln((1 - e) / e) / 2 where a fixed one is z(e)**2."""
    (best, best_sd), (worst, worst_sd) = SCENES[scene]
    z = (best - worst) / ((best_sd**2 + worst_sd**2) / samples) ** 0.5
    error = NormalDist().cdf(-z)
    return 100 * (1 - (1 - 2 * error) * log((1 - error) / error) / 2 / z**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200_000)
    parser.add_argument("--samples", type=int, nargs="+", default=[3, 8, 16])
    parser.add_argument("--candidates", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    jobs = [
        (scene, candidates, samples, options.turns, options.seed)
        for scene in SCENES
        for candidates in options.candidates
        for samples in options.samples
    ]
    started = time.perf_counter()
    with Pool(options.workers) as pool:
        rows = pool.starmap(measure, jobs, chunksize=1)
    verdicts = [
        judged(f"{row['rewards']}, two candidates, {most} futures: fewer %", row["at equal %"], at_least=TARGET)
        for most in [max(options.samples)]
        for row in rows
        if row["candidates"] == 2 and row["fixed n"] == most
    ]
    finish(rows, verdicts, options.path, turns=options.turns, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
