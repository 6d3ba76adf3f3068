"""Which pairs teach more: those of the present rule, or those of the previous one, for the same number of calls?

    python benchmarks/order_desk/rules.py [--seeds 0 1 2] [--customers 200] [--work order-desk] [--report]

For each seed a model is built and taught to speak, and it talks with customers. The previous rule makes pairs of
the chats with `--customers` of them; the present rule then of as many chats as take as many calls. A model is trained
on either, by the desk's own recipe, and meets the same 500 customers whose orders were in no training. What is done
lies in the work folder and is not done again. Set OMP_NUM_THREADS=1 on small machines.
"""

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from arms import Trial, quiet
from collab_order_desk import customers
from collab_order_desk.evaluation import measure
from collab_order_desk.learning.base_model import Size, make_base
from collab_order_desk.learning.recipe import Recipe, play_of, train
from collab_trl.online.rollouts import aroll_out
from previous_rule import PreviousRuleExporter
from run import DRAWN, GREEDY, once, table

from collab_sdk import PreferenceExporter, as_chat_model, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import get_chat_writer

MOST = 3
"""Times as many customers as the previous rule's pairs are made of, to choose from."""
RULES: dict[str, tuple[type[PreferenceExporter], dict[str, float]]] = {
    "previous": (PreviousRuleExporter, {}),
    "present": (PreferenceExporter, {}),
    "present, confidence 0.6": (PreferenceExporter, {"min_confidence": 0.6}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--evaluated", type=int, default=500)
    parser.add_argument("--work", type=Path, default=Path("order-desk"))
    parser.add_argument("--report", action="store_true", help="print what is there, and do nothing")
    options = parser.parse_args()
    for seed in () if options.report else options.seeds:
        folder = options.work / f"seed-{seed}"
        once(folder / "base", lambda path, seed=seed: make_base(path, seed=seed, size=Size()))  # type: ignore[misc]
        trial = Trial(folder=folder, seed=seed, customers=MOST * options.customers, recipe=Recipe())
        once(folder / "chats.jsonl", lambda path, trial=trial: talk(trial, path))  # type: ignore[misc]
        calls: dict[str, int] = {}
        for name in RULES:
            calls[name] = compare(trial, name, options, most=calls.get("previous"))
    report(options)


def talk(trial: Trial, path: Path) -> None:
    """What the base and the customers say to each other."""
    play = play_of(trial.recipe)
    chats = [customer.conversation() for customer in customers(trial.customers, seed=trial.seed)]
    scorer = play.scorer.with_assistant(f"hf:{trial.base}")
    rollouts = run_sync(aroll_out(chats, scorer, exchanges=play.exchanges, draw="rules"))
    row = get_chat_writer("collab")
    with JsonlWriter(path) as file:
        for conversation in rollouts.conversations:
            file.write(row(conversation))


def compare(trial: Trial, name: str, options: argparse.Namespace, *, most: int | None) -> int:
    """The calls that the pairs took; `most` is how many they may."""
    folder = trial.folder / name
    figures = folder / "figures.json"
    if figures.exists():
        return int(json.loads(figures.read_text())["calls"])
    folder.mkdir(parents=True, exist_ok=True)
    pairs, chats = folder / "prefs.jsonl", options.customers
    calls, found = make_pairs(trial, name, pairs, chats)
    if most is not None:
        chats = min(trial.customers, chats * most // calls)
        calls, found = make_pairs(trial, name, pairs, chats)
    bot = f"hf:{trial.base}"
    if found:
        train(str(trial.base), pairs, folder / "adapter", trial.recipe, seed=trial.seed, on_progress=quiet)
        bot = f"{bot}@{folder / 'adapter'}"
    met = list(customers(options.evaluated, seed=0, split="held-out"))
    shown = {
        setting.name: measure(as_chat_model(bot), met, temperature=setting.temperature) for setting in (GREEDY, DRAWN)
    }
    figures.write_text(json.dumps({"calls": calls, "chats": chats, "pairs": found, "settings": shown}, indent=1) + "\n")
    return calls


def make_pairs(trial: Trial, name: str, path: Path, chats: int) -> tuple[int, int]:
    """Calls and pairs; what was played before is in the cache, and counts."""
    kind, asked = RULES[name]
    rule: dict[str, Any] = {"candidates": trial.recipe.candidates, "min_margin": trial.recipe.min_margin, **asked}
    scorer = play_of(trial.recipe, cache=trial.folder / "cache").scorer.with_assistant(f"hf:{trial.base}")
    report = kind(scorer, **rule).export(islice(read_conversations([trial.folder / "chats.jsonl"]), chats), path)
    total = scorer.engine.ledger.total
    return total.calls + total.cache_hits, report.pairs


def report(options: argparse.Namespace) -> None:
    files = {
        name: [
            file for seed in options.seeds if (file := options.work / f"seed-{seed}" / name / "figures.json").exists()
        ]
        for name in RULES
    }
    found = {name: [json.loads(file.read_text()) for file in each] for name, each in files.items() if each}
    for name, seeds in found.items():
        print(name, *(f"{each['pairs']} pairs of {each['chats']} chats, {each['calls']:,} calls;" for each in seeds))
    for setting in (GREEDY, DRAWN):
        print(f"\n**{setting.name}**\n")
        print(table({name: [each["settings"][setting.name] for each in seeds] for name, seeds in found.items()}))


if __name__ == "__main__":
    main()
