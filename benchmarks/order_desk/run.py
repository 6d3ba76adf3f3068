"""Does a model learn when to ask? Several seeds of a base and what is trained from it, on held-out orders.

    python benchmarks/order_desk/run.py [--parts main controls ...] [--seeds 0 1 2 3 4] [--arms NAME ...]
        [--work order-desk] [--report]

For each seed a model is built and taught to speak, and talks with customers; arms are trained with the package's own
classes on pairs of what it says. Each arm then meets the same customers whose orders were in no training, greedily and
at temperature 1; in `phrasings` the customers speak as none did in training, in `kinds` they leave open what was never
open in training. `rounds` has the methods that let the model talk. In `deeds` orders are placed at a till, by calls:
some arms are rewarded for what is on it, some for what they say. What is done lies in the work folder and is not done
again, so that seeds can be given to several processes; the folder takes no other settings later. `--report` prints the
tables of all that is there and the tests of claims.py, as Markdown, and draws them. Figures are means over seeds with
95 % intervals (Student's t). Set OMP_NUM_THREADS=1 on small machines.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from arms import CONTROLS, DEEDS, FURTHER, MAIN, NEW_KIND, NEW_KINDS, ROUNDS, UNCHANGED, Arm, Trial, read_rows
from claims import claims_table, tested
from collab_order_desk import OrderDeskUser, customers
from collab_order_desk.evaluation import measure
from collab_order_desk.learning.base_model import Size, make_base
from collab_order_desk.learning.recipe import Recipe
from collab_order_desk.speech import read_reply
from collab_order_desk.world import NAMES, said_by_user
from plots import Figures, draw_arms, interval
from work import keep_settings

from collab_sdk import as_chat_model
from collab_sdk.messages import as_messages


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How the bots are met."""

    name: str
    temperature: float
    phrasings: str | None = None
    settled: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Arms and the settings they are measured in."""

    arms: dict[str, Arm]
    settings: tuple[Setting, ...]
    at_till: bool = False
    """Whether its base has learnt calls, and its customers get what is on the till."""


GREEDY = Setting(name="greedy", temperature=0.0)
DRAWN = Setting(name="temperature 1", temperature=1.0)
UNHEARD = Setting(name="temperature 1, phrasings never heard", temperature=1.0, phrasings="chatty")
ONLY_NEW = {"always": [name for name in NAMES if name != NEW_KIND], "never": [NEW_KIND]}
PARTS = {
    "main": Part(arms=MAIN, settings=(GREEDY, DRAWN)),
    "controls": Part(arms=CONTROLS, settings=(GREEDY, DRAWN)),
    "further": Part(arms=FURTHER, settings=(GREEDY, DRAWN)),
    "phrasings": Part(arms=UNCHANGED, settings=(UNHEARD,)),
    "kinds": Part(
        arms=NEW_KINDS,
        settings=tuple(
            Setting(name=f"{NEW_KIND} alone is open, {name}", temperature=temperature, settled=ONLY_NEW)
            for name, temperature in (("greedy", 0.0), ("temperature 1", 1.0))
        ),
    ),
    "rounds": Part(arms=ROUNDS, settings=(GREEDY, DRAWN)),
    "deeds": Part(arms=DEEDS, settings=(GREEDY, DRAWN), at_till=True),
}

SHOWN = ("main", "controls", "further")
"""Parts that docs/order-desk.md shows."""
TAUGHT = Size(epochs=4.5)
LEAST = 3
"""With fewer seeds an interval tells nothing, and each seed's figure is shown in its place."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(SHOWN))
    parser.add_argument("--arms", nargs="+", help="these alone, of the parts")
    parser.add_argument("--customers", type=int, default=200, help="who are trained with")
    parser.add_argument("--evaluated", type=int, default=240)
    parser.add_argument("--smoke", action="store_true", help="a tiny model and a handful of customers: does it run?")
    parser.add_argument("--work", type=Path, default=Path("order-desk"))
    parser.add_argument("--report", action="store_true", help="print what is there, and do nothing")
    options = parser.parse_args()
    if options.report:
        report(options)
        return
    keep_settings(options.work, {name: getattr(options, name) for name in ("customers", "evaluated", "smoke")})
    for part in options.parts:
        for seed in options.seeds:
            trial = trial_of(options, seed, PARTS[part])
            for name, arm in PARTS[part].arms.items():
                if not options.arms or name in options.arms:
                    done(trial, name, arm, PARTS[part], options.evaluated)


def done(trial: Trial, name: str, arm: Arm, part: Part, n: int) -> None:
    """The arm made and measured, if it is not yet, and how long that took."""
    started, cpu = time.perf_counter(), time.process_time()
    if measured(trial, name, arm, part, n):
        took = f"{time.perf_counter() - started:.0f} s, {time.process_time() - cpu:.0f} s of CPU"
        print(f"seed {trial.seed}, {name}: {took}", flush=True)


def trial_of(options: argparse.Namespace, seed: int, part: Part) -> Trial:
    """With its base, which is taught once."""
    folder = folder_of(options, seed, part)
    size, recipe = TAUGHT, Recipe(at_till=part.at_till)
    if options.smoke:
        size = Size(layers=1, hidden=48, lessons=400, epochs=4)
        recipe = replace(recipe, candidates=3, samples=2, goals=2, epochs=1.0)
    once(folder / "base", lambda path: make_base(path, seed=seed, size=size, at_till=part.at_till))
    return Trial(folder=folder, seed=seed, customers=options.customers, recipe=recipe, is_smoke=options.smoke)


def folder_of(options: argparse.Namespace, seed: int, part: Part) -> Path:
    folder: Path = options.work / (f"seed-{seed}-till" if part.at_till else f"seed-{seed}")
    return folder


def once(path: Path, make: Callable[[Path], object]) -> None:
    if not path.exists():
        partial = path.with_name(f"{path.name}.partial")
        make(partial)
        partial.rename(path)


def measured(trial: Trial, name: str, arm: Arm, part: Part, n: int) -> bool:
    """Write down the figures of an arm that are not there yet; whether there were any."""
    missing = [setting for setting in part.settings if not result(trial.folder, setting.name, name).exists()]
    if not missing:
        return False
    bot = as_chat_model(arm(trial))
    for setting in missing:
        met = customers(n, seed=0, split="held-out", phrasings=setting.phrasings, **setting.settled)
        user = OrderDeskUser(phrasings=setting.phrasings)
        figures = measure(bot, met, temperature=setting.temperature, user=user, at_till=part.at_till)
        path = result(trial.folder, setting.name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")
    return True


def result(folder: Path, setting: str, arm: str) -> Path:
    return folder / "results" / setting / f"{arm}.json"


def report(options: argparse.Namespace) -> None:
    for part in options.parts:
        shown: dict[str, dict[str, list[Figures]]] = {}
        for setting in PARTS[part].settings:
            arms = {name: found(options, PARTS[part], setting.name, name) for name in PARTS[part].arms}
            shown[setting.name] = {name: seeds for name, seeds in arms.items() if seeds}
            print(f"\n**{part}, {setting.name}**\n\n{table(shown[setting.name])}")
        if any(shown.values()):
            draw_arms(shown, options.work / f"{part}.png")
    for what in ("default", "goals-3", "desk"):
        files = [options.work / f"seed-{seed}" / "pairs" / what / "prefs.jsonl" for seed in options.seeds]
        if rows := [read_rows(file) for file in files if file.exists()]:
            counts = ", ".join(str(len(each)) for each in rows)
            guesses = ", ".join(f"{guesses_over_guesses(each):.0%}" for each in rows)
            print(f"\n{what}: {counts} pairs, by seed; at open turns a guess is over a guess in {guesses}")
    print(f"\n{claims_table(tested(lambda arm: by_seed(options, arm)))}")


def by_seed(options: argparse.Namespace, arm: str) -> dict[int, Figures]:
    """An arm's figures at temperature 1."""
    files = {seed: result(options.work / f"seed-{seed}", DRAWN.name, arm) for seed in options.seeds}
    return {seed: json.loads(file.read_text()) for seed, file in files.items() if file.exists()}


def found(options: argparse.Namespace, part: Part, setting: str, arm: str) -> list[Figures]:
    files = [result(folder_of(options, seed, part), setting, arm) for seed in options.seeds]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def table(arms: dict[str, list[Figures]]) -> str:
    names = list(dict.fromkeys(name for seeds in arms.values() for name in seeds[0]))
    lines = [f"| arm | seeds | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for arm, seeds in arms.items():
        cells = [cell(seeds, name) for name in names]
        lines.append(f"| {arm} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(seeds: Sequence[Figures], name: str) -> str:
    if name not in seeds[0]:
        return ""
    digits = 1 if name == "tokens" else 2
    if len(seeds) < LEAST:
        return ", ".join(f"{each[name]:.{digits}f}" for each in seeds)
    mean, half = interval(seeds, name)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def guesses_over_guesses(pairs: Sequence[Mapping[str, Any]]) -> float:
    """Of the pairs at which something was still unsaid: both replies are orders all the same."""
    both = []
    for row in pairs:
        if len(said_by_user(as_messages(row["prompt"]))) < len(NAMES):
            both.append(all(read_reply(row[side][0]["content"]).order for side in ("chosen", "rejected")))
    return statistics.fmean(both) if both else 0.0


if __name__ == "__main__":
    main()
