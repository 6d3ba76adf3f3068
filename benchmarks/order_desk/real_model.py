"""What a real small model learns at the order desk from pairs of its own replies, by rate, batch and number of pairs.

    python benchmarks/order_desk/real_model.py base --work real-model
    python benchmarks/order_desk/real_model.py pairs --work real-model --pairs 168
    python benchmarks/order_desk/real_model.py train --work real-model --pairs 168 [--learning-rate 1e-3] [...]
    python benchmarks/order_desk/real_model.py table --work real-model

`base` teaches SmolLM2-135M-Instruct the words of the desk with 720 lessons; every barista in them orders mostly at
once. `pairs` lets it answer customers in six ways each, plays the answers on and pairs them; `train` is `collab
finetune` on the first so many of these pairs, with the options given, and then lets customers whose orders were in no
training talk to base and adapter, greedily and at temperature 1. What is done lies in the work folder and is not done
again; `table` prints it all as Markdown. Two CPU cores take 6 minutes for `base` and about a second for each pair in
each epoch. Set OMP_NUM_THREADS to the number of cores.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collab_order_desk import customers
from collab_order_desk.evaluation import measure
from collab_order_desk.learning.lessons import lessons
from collab_order_desk.learning.recipe import Recipe, make_pairs, play_of

from collab_sdk import Conversation

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from support.smollm2 import smollm2_folder
from teaching import make_base

LESSONS = 720
LONGEST_REPLY = 60
"""Tokens, twice those of an order."""
MEASURED = ("success, ambiguous", "success, clear", "asks when ambiguous", "over-asks when clear", "malformed replies")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("part", choices=["base", "pairs", "train", "table"])
    parser.add_argument("--work", type=Path, default=Path("real-model"))
    parser.add_argument("--pairs", type=int, default=168)
    parser.add_argument("--customers", type=int, help="who are played with, to make pairs; default: as the pairs need")
    parser.add_argument("--samples", type=int, default=3, help="futures of each candidate")
    parser.add_argument("--evaluated", type=int, default=200)
    parser.add_argument("--no-order", action="store_true", help="train on the pairs with their order drawn at random")
    parser.add_argument("--name", default="", help="of the run; its options by default")
    options, finetune = parser.parse_known_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.part == "base":
        make_base(smollm2_folder(), options.work / "base", list(lessons(LESSONS, seed=0)), longest_reply=LONGEST_REPLY)
    elif options.part == "pairs":
        pairs_of(options)
    elif options.part == "train":
        train(options, finetune)
    else:
        table(options.work)


def pairs_of(options: argparse.Namespace) -> Path:
    """The first so many pairs of the base's own replies, and how long it took to make them."""
    path: Path = options.work / f"pairs-{options.pairs}.jsonl"
    if path.exists():
        return path
    met = customers(options.customers or options.pairs, seed=0)
    base, whole = f"hf:{options.work / 'base'}", options.work / f"all-{len(met)}.jsonl"
    if not whole.exists():
        began = time.monotonic()
        recipe = Recipe(samples=options.samples)
        chats = [customer.conversation() for customer in met]
        make_pairs(
            base, played_on(chats, base, recipe, options.work), whole, play_of(recipe, cache=options.work / "cache")
        )
        print(f"{len(met)} customers: {time.monotonic() - began:.0f} s", flush=True)
    rows = whole.read_text().splitlines(keepends=True)
    if len(rows) < options.pairs:
        sys.exit(f"{len(rows)} pairs of {len(met)} customers: give --customers more")
    path.write_text("".join(rows[: options.pairs]))
    return path


def played_on(chats: Sequence[Conversation], base: str, recipe: Recipe, work: Path) -> Sequence[Conversation]:
    from collab_trl.online.rollouts import aroll_out

    from collab_sdk.concurrency import run_sync

    play = play_of(recipe, cache=work / "cache")
    scorer = play.scorer.with_assistant(base)
    return run_sync(aroll_out(chats, scorer, exchanges=play.exchanges, draw="pairs")).conversations


def train(options: argparse.Namespace, finetune: Sequence[str]) -> None:
    order = " in no order" if options.no_order else ""
    name = options.name or f"{options.pairs}{order} " + (" ".join(finetune) or "defaults")
    result = options.work / "runs" / f"{name.replace('/', '_')}.json"
    if result.exists():
        return
    result.parent.mkdir(exist_ok=True)
    data = without_order(pairs_of(options)) if options.no_order else pairs_of(options)
    base, output = options.work / "base", options.work / "adapters" / result.stem
    began = time.monotonic()
    command = ["-m", "collab_cli.main", "finetune", str(data), "-m", str(base), "-o", str(output), *finetune]
    code = subprocess.run([sys.executable, *command]).returncode
    if not (output / "metrics.json").exists():
        sys.exit(f"{name}: nothing was trained")
    row: dict[str, Any] = {"name": name, "exit": code, "seconds": round(time.monotonic() - began)}
    row |= {"metrics": json.loads((output / "metrics.json").read_text())}
    row |= {"desk": measured(f"hf:{base}@{output}", options.evaluated)}
    result.write_text(json.dumps(row))
    before = options.work / "runs" / "base.json"
    if not before.exists():
        before.write_text(json.dumps({"name": "base", "desk": measured(f"hf:{base}", options.evaluated)}))


def without_order(path: Path) -> Path:
    """The same pairs, of which a coin says which reply is chosen."""
    from random import Random

    random, target = Random(0), path.with_name(f"{path.stem}-no-order.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    drawn = [
        row if random.random() < 0.5 else row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows
    ]
    target.write_text("".join(json.dumps(row) + "\n" for row in drawn))
    return target


def measured(bot: str, n: int) -> dict[str, dict[str, float]]:
    met = customers(n, seed=0, split="held-out")
    return {
        name: measure(bot, met, temperature=temperature)
        for name, temperature in (("greedy", 0.0), ("temperature 1", 1.0))
    }


def table(work: Path) -> None:
    """Each statistic greedily and at temperature 1."""
    print("| run | exit | steps | " + " | ".join(MEASURED) + " |")
    print("|---|---|---|" + "---|" * len(MEASURED))
    for path in sorted((work / "runs").glob("*.json")):
        row = json.loads(path.read_text())
        sides = row["desk"].values()
        cells = [" / ".join(f"{side.get(name, 0.0):.2f}" for side in sides) for name in MEASURED]
        steps = row.get("metrics", {}).get("steps", "")
        print("| " + " | ".join(map(str, (row["name"], row.get("exit", ""), steps, *cells))) + " |")


if __name__ == "__main__":
    main()
