"""How many pairs come out of noise, how many are in the wrong order, and what a pair costs, on synthetic rewards.

    python benchmarks/noise.py [--turns 1000] [--runs 4] [--candidates 2 3 6] [--json out.json]

The candidates of a turn have true means with a standard deviation of 0.15, and each future's reward varies by 0.25
about them: normally, skewed (exponential) or by two values. Also played are runs in which all candidates are equally
good, in which half of the turns' are (in one, those are the turns whose futures vary much), and in which turns are
unlike in how much their futures vary. Every run begins
with the pilot that an export has, and all its turns and futures count.

Three rules choose on the same rewards: `paper` plays three futures of each candidate, `previous` goes on until
best and worst would stay so, `present` is the product's. All keep what the product's confidence keeps. `wrong %` counts
ties as wrong; `margin` is the mean margin that is reported, over the true one of the same pairs.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import sqrt
from multiprocessing import Pool
from typing import Any

from previous_rule import PreviousRule
from table import finish, judged

from collab_sdk.preferences.contrasts import FIRST
from collab_sdk.preferences.noise import PILOT_TURNS, Noise
from collab_sdk.preferences.sampling import NextBatch, SamplingRule
from collab_sdk.spec import PairRule

WITHIN, BETWEEN, SAMPLES = 0.25, 0.15, 3
KINDS: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda rng: rng.gauss(0, 1),
    "skewed": lambda rng: rng.expovariate(1) - 1,
    "two-valued": lambda rng: rng.choice([-1.0, 1.0]),
}
Draws = list[list[float]]


@dataclass(frozen=True, kw_only=True)
class World:
    """What the turns of a run are like."""

    name: str
    between: float
    equal: float = 0.0
    """Share of the turns in which the candidates are equally good."""
    uneven: bool = False
    """Whether a turn's futures vary more or less than another's."""
    calm: float = WITHIN
    """By how much futures vary where candidates differ."""


WORLDS = (
    World(name="all differ", between=BETWEEN),
    World(name="all equal", between=0.0),
    World(name="half equal", between=0.25, equal=0.5),
    World(name="calm differ, others equal", between=0.25, equal=0.5, calm=0.02),
    World(name="uneven", between=BETWEEN, uneven=True),
    World(name="uneven, equal", between=0.0, uneven=True),
)


@dataclass
class Count:
    turns: int = 0
    equal: int = 0
    """Turns whose candidates are equally good."""
    equal_kept: int = 0
    kept: int = 0
    wrong: int = 0
    futures: int = 0
    reported: float = 0.0
    true: float = 0.0

    def row(self) -> dict[str, Any]:
        right = self.kept - self.wrong
        return {
            "of equal kept %": 100 * self.equal_kept / self.equal if self.equal else "-",
            "kept %": 100 * self.kept / self.turns,
            "wrong %": 100 * self.wrong / self.kept if self.kept else "-",
            "margin": self.reported / self.kept if self.kept else "-",
            "true": self.true / self.kept if self.kept else "-",
            "futures a turn": self.futures / self.turns,
            "futures a right pair": self.futures / right if right else float("inf"),
        }


def turns_of(
    world: World, kind: str, candidates: int, number: int, rng: random.Random
) -> Iterator[tuple[list[float], Draws]]:
    """True means of a turn's candidates, and the rewards of their futures, more than any rule plays."""
    for _ in range(number):
        between = 0.0 if rng.random() < world.equal else world.between
        within = world.calm if between else WITHIN
        within *= sqrt(rng.expovariate(1)) if world.uneven else 1
        means = [rng.gauss(0, between) for _ in range(candidates)]
        yield means, [[mean + within * KINDS[kind](rng) for _ in range(3 * SAMPLES)] for mean in means]


def play(rule: NextBatch, draws: Draws, drawn: Draws) -> Draws:
    while any(batch := rule.next_batch(drawn)):
        for known, stream, more in zip(drawn, draws, batch, strict=True):
            known += stream[len(known) : len(known) + more]
    return drawn


def measure(world: World, kind: str, candidates: int, turns: int, runs: int, seed: int) -> list[dict[str, Any]]:
    rng, asked = random.Random(f"{seed}/{world.name}/{kind}/{candidates}"), PairRule()
    counts = {name: Count() for name in ("paper", "previous", "present")}
    for _ in range(runs):
        played = list(turns_of(world, kind, candidates, turns, rng))
        pilot = [[stream[:FIRST] for stream in draws] for _, draws in played[:PILOT_TURNS]]
        noise = Noise.of(pilot)
        rule = SamplingRule(
            first=1,
            ceiling=3 * SAMPLES,
            noise=noise,
            confidence=asked.min_confidence,
            margin=asked.min_margin,
        )
        once = [[stream[:1] for stream in draws] for draws in pilot]
        price = noise.price(once, most=rule.ceiling, confidence=rule.confidence, margin=rule.margin)
        rules: dict[str, NextBatch] = {
            "paper": SamplingRule(first=SAMPLES, ceiling=SAMPLES),
            "previous": PreviousRule(candidates, SAMPLES),
            "present": replace(rule, price=price),
        }
        for number, (means, draws) in enumerate(played):
            for name, each in rules.items():
                begun = FIRST if name == "present" and number < PILOT_TURNS else 0
                drawn = play(each, draws, [stream[:begun] for stream in draws])
                count_turn(counts[name], noise, asked, means, drawn)
    futures = {name: count.row()["futures a right pair"] for name, count in counts.items()}
    fewer = {name: 100 * (1 - futures["present"] / each) for name, each in futures.items() if name != "present"}
    return [
        {
            "run": world.name,
            "rewards": kind,
            "candidates": candidates,
            "rule": name,
            **count.row(),
            "fewer %": fewer.get(name, "-") if futures["present"] < float("inf") else "-",
        }
        for name, count in counts.items()
    ]


def count_turn(count: Count, noise: Noise, asked: PairRule, means: list[float], drawn: Draws) -> None:
    order = noise.order(drawn)
    is_kept = order is not None and order.confidence >= asked.min_confidence and order.margin >= asked.min_margin
    is_equal = len(set(means)) == 1
    count.turns += 1
    count.equal += is_equal
    count.futures += sum(map(len, drawn))
    if order is not None and is_kept:
        true = means[order.chosen] - means[order.rejected]
        count.kept += 1
        count.equal_kept += is_equal
        count.wrong += true <= 0
        count.reported += order.margin
        count.true += true


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1000, help="of a run")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--candidates", type=int, nargs="+", default=[2, 3, 6])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()

    jobs = [
        (world, kind, candidates, options.turns, options.runs, options.seed)
        for world in WORLDS
        for kind in KINDS
        for candidates in options.candidates
    ]
    started = time.perf_counter()
    with Pool(options.workers) as pool:
        rows = [row for found in pool.starmap(measure, jobs, chunksize=1) for row in found]
    verdicts = []
    for row in rows:
        place = f"{row['run']}, {row['rewards']}, {row['candidates']} candidates"
        if row["rule"] == "present" and row["of equal kept %"] != "-":
            verdicts.append(judged(f"{place}: of equal turns kept %", row["of equal kept %"], at_most=5))
        if row["rule"] == "present" and row["run"] == "all differ":
            verdicts.append(judged(f"{place}: wrong %", row["wrong %"], at_most=5))
            off = 100 * abs(row["margin"] / row["true"] - 1)
            verdicts.append(judged(f"{place}: margin off by %", off, at_most=10))
        if row["rule"] != "present" and row["run"] == "all differ":
            least = 30 if row["rule"] == "paper" else 0
            verdicts.append(judged(f"{place}: fewer % than {row['rule']}", row["fewer %"], at_least=least))
    finish(rows, verdicts, options.path, turns=options.turns, runs=options.runs, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
