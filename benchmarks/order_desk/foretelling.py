"""Is over-asking foretold from the pairs? The order desk's model, trained on pairs with fewer and fewer clear requests.

    python benchmarks/order_desk/foretelling.py [--seed 0] [--customers 300] [--evaluated 300] [--work foretelling]

A model is built and taught to speak, and makes pairs of its own replies. Each arm leaves some of them out and trains on
the rest in as many steps. The table has what `collab finetune` says of the pairs before it trains, and what the model
then does with customers whose orders were in no training, at temperature 1. What is done lies in the work folder and is
not done again. Set OMP_NUM_THREADS=1 on small machines.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from collab_order_desk import customers
from collab_order_desk.evaluation import measure
from collab_order_desk.learning.base_model import Size, make_base
from collab_order_desk.learning.recipe import Recipe, make_pairs, play_of, train
from collab_trl.online.rollouts import aroll_out

from collab_sdk import as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.evaluation.questions import has_question_mark

Rows = Sequence[Mapping[str, Any]]
SHOWN = ("over-asks when clear", "asks when ambiguous", "success, clear", "success, ambiguous")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--customers", type=int, default=300)
    parser.add_argument("--evaluated", type=int, default=300)
    parser.add_argument("--work", type=Path, default=Path("foretelling"))
    options = parser.parse_args()
    folder = options.work / str(options.seed)
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base"
    if not base.exists():
        make_base(base.with_name("base.partial"), seed=options.seed, size=Size(epochs=4.5))
        base.with_name("base.partial").rename(base)
    met = customers(options.customers, seed=options.seed + 1)
    if not (folder / "prefs.jsonl").exists():
        play, bot = play_of(Recipe()), f"hf:{base}"
        chats = [customer.conversation() for customer in met]
        played = aroll_out(chats, play.scorer.with_assistant(bot), exchanges=play.exchanges, draw="x")
        make_pairs(bot, run_sync(played).conversations, folder / "prefs.jsonl", play)
    rows = [json.loads(line) for line in (folder / "prefs.jsonl").read_text().splitlines()]
    print(
        f"| pairs | n | chosen asks, on a first message | at any | {' | '.join(SHOWN)} |\n|{'---|' * (4 + len(SHOWN))}"
    )
    for name, kept in arms(rows, {customer.id for customer in met if customer.is_clear}).items():
        figures = measured(folder / name.replace(" ", "-"), base, kept, rows, options)
        first = [row for row in kept if sum(message["role"] == "user" for message in row["prompt"]) == 1]
        shares = [f"{asks_alone(pairs):.0%}" if pairs else "" for pairs in (first, kept)]
        cells = [name, str(len(kept)), *shares, *(f"{figures[shown]:.2f}" for shown in SHOWN)]
        print(f"| {' | '.join(cells)} |", flush=True)


def arms(rows: Rows, clear: set[str]) -> dict[str, Rows]:
    """The base, on no pairs, and what is kept of them: a share of the chats whose first message leaves nothing open."""
    ambiguous = [row for row in rows if row["conversation_id"] not in clear]
    others = [row for row in rows if row["conversation_id"] in clear]
    Random(0).shuffle(others)
    shares = {
        "all": 1.0,
        "half of the clear ones": 0.5,
        "a quarter": 0.25,
        "a tenth": 0.1,
        "none of the clear ones": 0.0,
    }
    return {
        "base": [],
        **{name: [*ambiguous, *others[: int(share * len(others))]] for name, share in shares.items()},
        "those whose chosen reply asks": [row for row in rows if asks(row["chosen"])],
    }


def measured(folder: Path, base: Path, kept: Rows, rows: Rows, options: argparse.Namespace) -> dict[str, float]:
    """What a model does that was trained on `kept`, in as many steps as all `rows` take."""
    path = folder / "results.json"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        bot = base
        if kept:
            recipe = Recipe()
            recipe = replace(recipe, epochs=round(recipe.epochs * len(rows) / len(kept), 2))
            data = folder / "prefs.jsonl"
            data.write_text("".join(json.dumps(row) + "\n" for row in kept))
            train(str(base), data, folder / "adapter", recipe, seed=options.seed, on_progress=lambda progress: None)
            bot = folder / "adapter" / "merged"
        met = customers(options.evaluated, seed=0, split="held-out")
        path.write_text(json.dumps(measure(as_chat_model(f"hf:{bot}"), met, temperature=1.0)))
    figures: dict[str, float] = json.loads(path.read_text())
    return figures


def asks_alone(rows: Rows) -> float:
    """Of the pairs of which one reply asks: how often it is the chosen one."""
    alone = [asks(row["chosen"]) for row in rows if asks(row["chosen"]) != asks(row["rejected"])]
    return sum(alone) / len(alone)


def asks(messages: Rows) -> bool:
    return any(has_question_mark(message["content"]) for message in messages)


if __name__ == "__main__":
    main()
