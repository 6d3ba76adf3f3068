"""Does a bot gain from being trained against a user that was learnt from logs? Its users differ from the one we know.

    python benchmarks/order_desk/hidden.py [--seeds 0 1 2] [--logged 500] [--paired 150] [--evaluated 500]
        [--work order-desk-hidden] [--report]

The users of this desk are a hidden population: terse, impatient, vague, or late with corrections, where the standing
user is none of these. For each seed a bot is built and taught to speak, and 500 visits of the hidden population are
logged. A small model that speaks as the standing user does is fine-tuned on these logs, as by `collab finetune LOGS
--role user`, and seated as `plain:hf:BASE@ADAPTER`. The bot is then trained by the same recipe, one round of DPO on
pairs of replies to the users of the first of these visits, whose futures are played by the standing user, by the learnt
one, or by the hidden population itself, which is the most that there is to gain. Who judges is the same in all. Each
bot meets the same customers of the hidden population, whose orders were in no training. What is done lies in the work
folder and is not done again, so that seeds can be given to several processes; `--report` prints the tables of all that
is there, as Markdown. Set OMP_NUM_THREADS=1 on small machines.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from arms import quiet
from collab_order_desk import OrderDeskUser, customers
from collab_order_desk.evaluation import STATISTICS, aevaluate
from collab_order_desk.learning.base_model import Size, make_base, make_user_base
from collab_order_desk.learning.lessons import INQUISITIVE
from collab_order_desk.learning.recipe import Recipe, make_pairs, play_of, train
from collab_trl.output.workplace import METRICS
from hidden_tables import Values, arms_table, differences_table, users_table
from hidden_users import compare_users
from run import once
from work import keep_settings

from collab_sdk import as_chat_model, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import get_chat_writer
from collab_sdk.simulator import Users

HIDDEN = OrderDeskUser(hidden=True)
RECIPE = Recipe(candidates=4, samples=6, window=3)
"""A future is as long as the rest of a visit, and there are several, as these users are not alike."""
MET = 1
"""The seed of the customers whom the bots meet."""
LOGGED, COMPARED_ON = 100, 200
"""Where the seeds begin of the customers that are logged, and of those that the users are compared on."""
SETTINGS: Mapping[str, tuple[float, OrderDeskUser]] = {
    "hidden population, greedy": (0.0, HIDDEN),
    "hidden population, temperature 1": (1.0, HIDDEN),
    "standing user, temperature 1": (1.0, OrderDeskUser()),
}
COMPARISONS = (("learnt", "standing"), ("hidden", "standing"))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One seed: its bot, its logs, and where all of its arms' work lies."""

    work: Path
    seed: int
    logged: int
    paired: int
    size: Size
    recipe: Recipe

    @property
    def folder(self) -> Path:
        return self.work / f"seed-{self.seed}"

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def user_base(self) -> Path:
        """The same for all seeds: what is learnt from the logs of a seed is its adapter."""
        return self.work / "user-base"

    @property
    def user_adapter(self) -> Path:
        return self.folder / "user"

    @property
    def learnt(self) -> str:
        return f"plain:hf:{self.user_base}@{self.user_adapter}"

    @property
    def logs(self) -> Path:
        return self.folder / "logs.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--logged", type=int, default=500, help="visits that the user is learnt from")
    parser.add_argument("--paired", type=int, default=150, help="of them, that the bots' pairs are made of")
    parser.add_argument("--evaluated", type=int, default=500)
    parser.add_argument("--smoke", action="store_true", help="tiny models and a handful of customers: does it run?")
    parser.add_argument("--work", type=Path, default=Path("order-desk-hidden"))
    parser.add_argument("--report", action="store_true", help="print what is there, and do nothing")
    options = parser.parse_args()
    if not options.report:
        decides = ("logged", "paired", "evaluated", "smoke")
        keep_settings(options.work, {name: getattr(options, name) for name in decides})
    for seed in () if options.report else options.seeds:
        trial = trial_of(options, seed)
        for name, step in steps_of(trial, options).items():
            started = time.perf_counter()
            if step():
                print(f"seed {seed}, {name}: {time.perf_counter() - started:.0f} s", flush=True)
    report(options)


def trial_of(options: argparse.Namespace, seed: int) -> Trial:
    size, recipe = Size(epochs=4.5), RECIPE
    if options.smoke:
        size = Size(layers=1, hidden=48, lessons=300, epochs=4)
        recipe = replace(recipe, candidates=3, samples=1, goals=1, window=1, epochs=1.0)
    return Trial(
        work=options.work,
        seed=seed,
        logged=options.logged,
        paired=options.paired,
        size=size,
        recipe=recipe,
    )


def steps_of(trial: Trial, options: argparse.Namespace) -> dict[str, Callable[[], bool]]:
    """What a seed takes, in order; each tells whether there was anything to do."""
    seed, size = trial.seed, trial.size
    return {
        "bot taught": lambda: made(trial.base, lambda path: make_base(path, seed=seed, size=size, habits=INQUISITIVE)),
        "user taught": lambda: made(trial.user_base, lambda path: make_user_base(path, seed=0, size=size)),
        "visits logged": lambda: made(trial.logs, lambda path: log_visits(trial, path, trial.logged, LOGGED)),
        "user learnt": lambda: learn_user(trial),
        "users compared": lambda: made(trial.folder / "users.json", lambda path: users_compared(trial, path)),
        **{f"arm {name}": lambda name=name: measured(trial, name, options.evaluated) for name in options.arms},  # type: ignore[misc]
    }


def made(path: Path, make: Callable[[Path], object]) -> bool:
    if is_new := not path.exists():
        once(path, make)
    return is_new


def log_visits(trial: Trial, path: Path, n: int, draw: int) -> None:
    """What the hidden population and the bot say to each other, as chats with their goals."""
    met = customers(n, seed=draw + trial.seed)
    held = run_sync(aevaluate(as_chat_model(f"hf:{trial.base}"), met, temperature=1.0, user=HIDDEN))
    row = get_chat_writer("collab")
    with JsonlWriter(path) as file:
        for each in held:
            chat = each.customer.conversation()
            file.write(row(replace(chat, messages=each.messages)))


def users_compared(trial: Trial, path: Path) -> None:
    """What each user does in visits that nothing was learnt from."""
    logs = trial.folder / "compared.jsonl"
    made(logs, lambda partial: log_visits(trial, partial, trial.logged, COMPARED_ON))
    rows = compare_users(list(read_conversations([logs])), {"standing": OrderDeskUser(), "learnt": trial.learnt})
    path.write_text(json.dumps(rows) + "\n")


def learn_user(trial: Trial) -> bool:
    """Fine-tune the model that speaks as the standing user on what the logged ones say, and on when they leave."""
    if is_new := not (trial.user_adapter / METRICS).exists():
        recipe, seed = trial.recipe, trial.seed
        options: dict[str, Any] = {"method": "sft", "role": "user"}
        train(str(trial.user_base), trial.logs, trial.user_adapter, recipe, seed=seed, on_progress=quiet, **options)
    return is_new


ARMS: Mapping[str, Callable[[Trial], Users] | None] = {
    "base": None,
    "standing": lambda trial: OrderDeskUser(),
    "learnt": lambda trial: trial.learnt,
    "hidden": lambda trial: HIDDEN,
}
"""Whom each bot is trained against."""


def bot_of(trial: Trial, name: str) -> str:
    """Trained on pairs of replies to the logged users; whom it is trained against plays their futures."""
    user, output = ARMS[name], trial.folder / name
    if user is None:
        return f"hf:{trial.base}"
    if not (output / METRICS).exists():
        pairs = trial.folder / f"prefs-{name}.jsonl"
        made(pairs, lambda path: write_pairs(trial, path, user(trial)))
        train(str(trial.base), pairs, output, trial.recipe, seed=trial.seed, on_progress=quiet)
    return f"hf:{trial.base}@{output}"


def write_pairs(trial: Trial, path: Path, user: Users) -> None:
    chats = islice(read_conversations([trial.logs]), trial.paired)
    make_pairs(f"hf:{trial.base}", chats, path, play_of(trial.recipe, user=user))


def measured(trial: Trial, name: str, n: int) -> bool:
    missing = [setting for setting in SETTINGS if not result(trial.folder, setting, name).exists()]
    if not missing:
        return False
    bot, met = as_chat_model(bot_of(trial, name)), customers(n, seed=MET, split="held-out")
    for setting in missing:
        temperature, user = SETTINGS[setting]
        held = run_sync(aevaluate(bot, met, temperature=temperature, user=user))
        values: Values = {
            statistic: [None if (value := of(each)) is None else float(value) for each in held]
            for statistic, of in STATISTICS.items()
        }
        path = result(trial.folder, setting, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values) + "\n")
    return True


def result(folder: Path, setting: str, arm: str) -> Path:
    return folder / "results" / setting / f"{arm}.json"


def report(options: argparse.Namespace) -> None:
    folders = [options.work / f"seed-{seed}" for seed in options.seeds]
    for setting in SETTINGS:
        arms = {name: [values for folder in folders if (values := read(folder, setting, name))] for name in ARMS}
        print(f"\n**{setting}**\n\n{arms_table({name: seeds for name, seeds in arms.items() if seeds})}")
    for name, other in COMPARISONS:
        seeds = {
            setting: [(read(folder, setting, name), read(folder, setting, other)) for folder in folders]
            for setting in SETTINGS
        }
        heads = [folder.name.replace("-", " ") for folder in folders]
        print(f"\n**{name} minus {other}**\n\n{differences_table(heads, seeds)}")
    if compared := [file for folder in folders if (file := folder / "users.json").exists()]:
        rows = [json.loads(file.read_text()) for file in compared]
        print(f"\n**users in the same situations**\n\n{users_table(rows)}")


def read(folder: Path, setting: str, arm: str) -> Values | None:
    path = result(folder, setting, arm)
    return json.loads(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    main()
