"""Does a model learn when to ask? Several seeds of a base and what is trained from it, on held-out orders.

    python benchmarks/order_desk/proof.py [--seeds 0 1 2] [--visitors 500] [--work order-desk] [--json out.json]

For each seed a model is built and taught to speak, then trained on pairs of its own replies with the package's own
classes; each arm then meets the same 500 visitors whose orders were in no training, greedily and at temperature 1, and
as many who speak in phrasings it has never heard. Figures are means over seeds with 95 % intervals (Student's t over
seeds). What is done lies in the work folder and is not done again. Set OMP_NUM_THREADS=1 on small machines.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from arms import ARMS
from collab_trl.order_desk.base import make_base
from collab_trl.order_desk.evaluation import measure
from collab_trl.order_desk.picture import draw
from collab_trl.order_desk.rounds import Recipe
from scipy.stats import t as student

from collab_sdk.evaluation import as_bot
from collab_sdk.tasks.order_desk import visitors
from collab_sdk.tasks.order_desk.speech import read_reply
from collab_sdk.tasks.order_desk.world import NAMES, said_by_user
from collab_sdk.types import as_messages

SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "T=1": {"temperature": 1.0},
    "T=1, unseen phrasings": {"temperature": 1.0, "phrasings": "chatty"},
}
Figures = dict[str, float]
Results = dict[str, dict[str, list[Figures]]]
"""By setting and arm, one for each seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--visitors", type=int, default=500, help="who train a round")
    parser.add_argument("--evaluated", type=int, default=500)
    parser.add_argument("--work", type=Path, default=Path("order-desk"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    results: Results = {setting: {arm: [] for arm in options.arms} for setting in SETTINGS}
    for seed in options.seeds:
        folder = options.work / f"seed-{seed}"
        recipe = Recipe(visitors=options.visitors)
        once(folder / "base", lambda path, seed=seed: make_base(path, seed=seed))
        for arm in options.arms:
            started = time.perf_counter()
            bot = ARMS[arm](folder, recipe, seed)
            for setting, figures in measured(bot, options.evaluated).items():
                results[setting][arm].append(figures)
            print(f"seed {seed}, {arm}: {time.perf_counter() - started:.0f} s", flush=True)
        report(results, options)
    for what in ("one-goal", "round-1"):
        files = [options.work / f"seed-{seed}" / what / "prefs.jsonl" for seed in options.seeds]
        shares = [guesses_over_guesses(file) for file in files if file.exists()]
        print(f"{what}: pairs that put a guess over a guess, by seed: {', '.join(f'{share:.0%}' for share in shares)}")


def guesses_over_guesses(pairs: Path) -> float:
    """Of the pairs at which something was still unsaid: both replies are orders all the same."""
    both = []
    for row in map(json.loads, pairs.read_text().splitlines()):
        if len(said_by_user(as_messages(row["prompt"]))) < len(NAMES):
            both.append(all(read_reply(row[side][0]["content"]).order for side in ("chosen", "rejected")))
    return statistics.fmean(both)


def report(results: Results, options: argparse.Namespace) -> None:
    """Of the seeds so far, so that a run that is stopped has something to show."""
    for setting, arms in results.items():
        print(f"\n{setting}\n{table(arms)}", flush=True)
        means = {arm: {name: interval(seeds, name)[0] for name in seeds[0]} for arm, seeds in arms.items()}
        draw(means, options.work / f"{setting.replace(', ', '-').replace(' ', '-')}.png", title=setting)
    if options.json:
        written = {"seeds": options.seeds, "visitors": options.visitors, "results": results}
        options.json.write_text(json.dumps(written, indent=1) + "\n")


def once(path: Path, make: Callable[[Path], object]) -> None:
    if not path.exists():
        partial = path.with_name(f"{path.name}.partial")
        make(partial)
        partial.rename(path)


def measured(bot: str, n: int) -> dict[str, Figures]:
    found = {}
    for setting, options in SETTINGS.items():
        met = visitors(n, seed=0, split="held-out", phrasings=options.get("phrasings"))
        found[setting] = measure(as_bot(bot), met, **options)
    return found


def interval(seeds: Sequence[Figures], name: str) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval; 0 for one seed."""
    values = [figures[name] for figures in seeds]
    if len(values) < 2:
        return values[0], 0.0
    return statistics.fmean(values), student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5


def table(arms: dict[str, list[Figures]]) -> str:
    names = list(next(iter(arms.values()))[0])
    lines = [["", *names]]
    for arm, seeds in arms.items():
        lines.append([arm, *("{:.2f} ± {:.2f}".format(*interval(seeds, name)) for name in names)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


if __name__ == "__main__":
    main()
