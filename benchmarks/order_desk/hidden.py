"""Does a bot gain from being trained against a user that was learnt from logs? Its users differ from the one we know.

    python benchmarks/order_desk/hidden.py [--seeds 0 1 2] [--logged 500] [--customers 220] [--evaluated 500]
        [--work order-desk-hidden] [--report]

The users of this desk are a hidden population: terse, impatient, vague, or late with corrections, where the standing
user is none of these. For each seed a bot is built and taught to speak, and 500 visits of the hidden population are
logged. A small model that speaks as the standing user does is fine-tuned on these logs, and seated as
`plain:hf:BASE@ADAPTER`. The bot is then trained by the same recipe, from the openings and goals of the same visits,
against the standing user, the learnt one, and the hidden population itself, which is the most that there is to gain.
Who judges is the same in all. Each bot meets the same customers of the hidden population, whose orders were in no
training. What is done lies in the work folder and is not done again, so that seeds can be given to several processes;
`--report` prints the tables of all that is there, as Markdown. Set OMP_NUM_THREADS=1 on small machines.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from arms import quiet
from collab_order_desk import OrderDeskUser, customers
from collab_order_desk.evaluation import STATISTICS, aevaluate
from collab_order_desk.learning.base_model import Size, make_base, make_user_base
from collab_order_desk.learning.lessons import INQUISITIVE
from collab_order_desk.learning.recipe import Recipe, play_of, train
from collab_order_desk.speech import read_reply
from collab_order_desk.world import named_in, read_order, said_by_user
from collab_trl.output.workplace import METRICS
from proof import once
from scipy.stats import t as student

from collab_sdk import Conversation, Engine, Simulator, as_chat_model, read_conversations
from collab_sdk.concurrency import all_settled, run_sync
from collab_sdk.errors import SampleError
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import get_chat_writer
from collab_sdk.messages import Message
from collab_sdk.simulator import END_OF_CONVERSATION, Users, changed_sides
from collab_sdk.spec import Limits

HIDDEN = OrderDeskUser(hidden=True)
ROUNDS = 2
LOGGED, COMPARED_ON = 100, 200
"""Where the seeds begin of the customers that are logged, and of those that the users are compared on."""
SHOWN = (
    "success",
    "success, ambiguous",
    "asks when ambiguous",
    "over-asks when clear",
    "malformed replies",
    "exchanges",
    "tokens",
)
"""What the tables show of each bot."""
COMPARED = ("success, ambiguous", "success", "over-asks when clear", "exchanges", "tokens")
"""What the arms are compared in, customer by customer."""
SETTINGS: Mapping[str, tuple[float, OrderDeskUser]] = {
    "hidden population, greedy": (0.0, HIDDEN),
    "hidden population, temperature 1": (1.0, HIDDEN),
    "standing user, temperature 1": (1.0, OrderDeskUser()),
}
Values = dict[str, list[float | None]]
"""A statistic of each customer, in order; None where it does not apply."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One seed: its bot, its logs, and where all of its arms' work lies."""

    work: Path
    seed: int
    logged: int
    customers: int
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
    parser.add_argument("--customers", type=int, default=220, help="of them, whom the bots are trained with")
    parser.add_argument("--evaluated", type=int, default=500)
    parser.add_argument("--smoke", action="store_true", help="tiny models and a handful of customers: does it run?")
    parser.add_argument("--work", type=Path, default=Path("order-desk-hidden"))
    parser.add_argument("--report", action="store_true", help="print what is there, and do nothing")
    options = parser.parse_args()
    for seed in () if options.report else options.seeds:
        trial = trial_of(options, seed)
        for name, step in steps_of(trial, options).items():
            started = time.perf_counter()
            if step():
                print(f"seed {seed}, {name}: {time.perf_counter() - started:.0f} s", flush=True)
    report(options)


def trial_of(options: argparse.Namespace, seed: int) -> Trial:
    size, recipe = Size(epochs=4.5), Recipe()
    if options.smoke:
        size = Size(layers=1, hidden=48, lessons=400, epochs=4)
        recipe = replace(recipe, candidates=3, samples=2, goals=2, epochs=1.0)
    return Trial(
        work=options.work,
        seed=seed,
        logged=options.logged,
        customers=options.customers,
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
        "users compared": lambda: made(trial.folder / "users.json", lambda path: compare_users(trial, path)),
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


def learn_user(trial: Trial) -> bool:
    """Fine-tune the model that speaks as the standing user on what the logged ones say, and on when they leave."""
    if (trial.user_adapter / METRICS).exists():
        return False
    rows = trial.folder / "user-rows.jsonl"
    with JsonlWriter(rows) as file:
        for chat in read_conversations([trial.logs]):
            for row in user_rows(chat):
                file.write(row)
    train(
        str(trial.user_base), rows, trial.user_adapter, trial.recipe, seed=trial.seed, on_progress=quiet, method="sft"
    )
    return True


def user_rows(chat: Conversation) -> Iterator[dict[str, Any]]:
    """Each thing that the user says to the bot, with what they want and what was said before."""
    messages = list(chat.messages)
    if messages[-1].role == "user":  # they left with it: nobody answered
        messages[-1] = replace(messages[-1], content=f"{messages[-1].content} {END_OF_CONVERSATION}")
    changed = changed_sides(messages, chat.goal)
    for place, message in enumerate(changed):
        if message.role == "assistant" and place > 1:
            prompt = [each.to_dict() for each in changed[:place]]
            yield {"prompt": prompt, "completion": [message.to_dict()], "conversation_id": chat.id}


ARMS: Mapping[str, Callable[[Trial], Users] | None] = {
    "base": None,
    "standing": lambda trial: OrderDeskUser(),
    "learnt": lambda trial: trial.learnt,
    "hidden": lambda trial: HIDDEN,
}
"""Whom each bot is trained against."""


def bot_of(trial: Trial, name: str) -> str:
    user, output = ARMS[name], trial.folder / name
    if user is None:
        return f"hf:{trial.base}"
    if not (output / METRICS).exists():
        openings = trial.folder / "openings.jsonl"
        made(openings, lambda path: write_openings(trial, path))
        play = play_of(trial.recipe, user=user(trial))
        train(
            str(trial.base),
            openings,
            output,
            trial.recipe,
            seed=trial.seed,
            on_progress=quiet,
            rounds=ROUNDS,
            play=play,
        )
    return f"hf:{trial.base}@{output}"


def write_openings(trial: Trial, path: Path) -> None:
    """What the first logged customers said first, and what they wanted."""
    row = get_chat_writer("collab")
    with JsonlWriter(path) as file:
        for chat in islice(read_conversations([trial.logs]), trial.customers):
            file.write(row(replace(chat, messages=chat.opening)))


def measured(trial: Trial, name: str, n: int) -> bool:
    missing = [setting for setting in SETTINGS if not result(trial.folder, setting, name).exists()]
    if not missing:
        return False
    bot, met = as_chat_model(bot_of(trial, name)), customers(n, seed=0, split="held-out")
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


def kind_of(goal: Mapping[str, str], history: Sequence[Message]) -> str:
    """What the bot has just done, as its user sees it."""
    reply, said = read_reply(history[-1].content), said_by_user(history)
    if reply.order is not None:
        return "gives the right order" if reply.order == goal else "gives a wrong order"
    if not reply.asked - said.keys():
        return "says nothing useful"
    return "asks for one or two things" if len(reply.asked) <= 2 else "asks for more than two things"


def compare_users(trial: Trial, path: Path) -> None:
    """What each user does where a hidden one was, in visits that nothing was learnt from."""
    logs = path.with_name("compared.jsonl")
    made(logs, lambda partial: log_visits(trial, partial, trial.logged, COMPARED_ON))
    chats = list(read_conversations([logs]))
    engine = Engine(limits=Limits(concurrency=512))
    seats = {"standing": OrderDeskUser(), "learnt": trial.learnt}
    rows = [each for chat in chats for each in reactions(chat)]
    for name, user in seats.items():
        simulator = Simulator(user, engine=engine)
        rows += run_sync(played_again(chats, simulator, name))
    path.write_text(json.dumps(rows) + "\n")


def situations(chat: Conversation) -> Iterator[tuple[int, Sequence[Message]]]:
    """Where a user reacts to the bot."""
    for place, message in enumerate(chat.messages):
        if message.role == "user" and place:
            yield place, chat.messages[:place]


def reaction(chat: Conversation, history: Sequence[Message], *, who: str, said: str, left: bool) -> dict[str, Any]:
    kind = kind_of(read_order(chat.goal.text), history)
    return {"user": who, "chat": chat.id, "kind": kind, "left": left, "told": len(set(named_in(said)))}


def reactions(chat: Conversation) -> list[dict[str, Any]]:
    last = len(chat.messages) - 1
    return [
        reaction(chat, history, who="hidden", said=chat.messages[place].content, left=place == last)
        for place, history in situations(chat)
    ]


async def played_again(chats: Sequence[Conversation], simulator: Simulator, who: str) -> list[dict[str, Any]]:
    async def again(chat: Conversation, place: int, history: Sequence[Message]) -> dict[str, Any]:
        draw = f"{chat.id}/{place}"
        try:
            turn = await simulator.areply(history, goal=chat.goal, sample=draw, conversation_id=chat.id)
        except SampleError as error:
            return {"user": who, "chat": chat.id, "failed": str(error)}
        return reaction(chat, history, who=who, said=turn.message, left=turn.done)

    found = await all_settled(again(chat, place, history) for chat in chats for place, history in situations(chat))
    return list(found)


def report(options: argparse.Namespace) -> None:
    folders = [options.work / f"seed-{seed}" for seed in options.seeds]
    for setting in SETTINGS:
        arms = {name: [values for folder in folders if (values := read(folder, setting, name))] for name in ARMS}
        print(f"\n**{setting}**\n\n{table({name: seeds for name, seeds in arms.items() if seeds})}")
    for setting in SETTINGS:
        for name, other in (("learnt", "standing"), ("hidden", "standing"), ("hidden", "learnt")):
            seeds = [
                (values, others)
                for folder in folders
                if (values := read(folder, setting, name)) and (others := read(folder, setting, other))
            ]
            if seeds:
                print(f"\n**{setting}: {name} minus {other}**\n\n{differences(seeds)}")
    if compared := [file for folder in folders if (file := folder / "users.json").exists()]:
        print(
            f"\n**Users in the same situations**\n\n{users_table([json.loads(file.read_text()) for file in compared])}"
        )


def read(folder: Path, setting: str, arm: str) -> Values | None:
    path = result(folder, setting, arm)
    return json.loads(path.read_text()) if path.exists() else None


def known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def table(arms: Mapping[str, Sequence[Values]]) -> str:
    """Means over seeds, with 95 % intervals over seeds (Student's t)."""
    lines = [f"| trained against | seeds | {' | '.join(SHOWN)} |", f"|---|---|{'---|' * len(SHOWN)}"]
    for name, seeds in arms.items():
        cells = [cell([statistics.fmean(known(values[shown]) or [0.0]) for values in seeds], shown) for shown in SHOWN]
        lines.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(seeds: Sequence[tuple[Values, Values]]) -> str:
    """By seed, paired by customer; over customers, each with the mean of the seeds; over seeds."""
    heads = [*(f"seed {number}" for number in range(len(seeds))), "over customers", "over seeds"]
    lines = [f"| statistic | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for shown in COMPARED:
        by_seed = [paired(values[shown], others[shown]) for values, others in seeds]
        by_customer = [statistics.fmean(each) for each in zip(*by_seed, strict=True)]
        means = [statistics.fmean(each) for each in by_seed]
        cells = [*(cell(each, shown) for each in by_seed), cell(by_customer, shown), cell(means, shown)]
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    return "\n".join(lines)


def paired(values: Sequence[float | None], others: Sequence[float | None]) -> list[float]:
    return [a - b for a, b in zip(values, others, strict=True) if a is not None and b is not None]


def cell(values: Sequence[float], shown: str) -> str:
    """The mean and half the width of its 95 % interval."""
    digits = 1 if shown == "tokens" else 2
    mean = f"{statistics.fmean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean} ± {half:.{digits}f}"


def users_table(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """How often each user leaves, and how many things they tell, with 95 % intervals clustered by visit."""
    rows = [{**row, "chat": f"{number}/{row['chat']}"} for number, each in enumerate(seeds) for row in each]
    users = list(dict.fromkeys(row["user"] for row in rows))
    failed = Counter(row["user"] for row in rows if "failed" in row)
    rows = [row for row in rows if "failed" not in row]
    heads = [f"{user} {what}" for what in ("leaves", "tells") for user in users]
    lines = [f"| when the bot | n | {' | '.join(heads)} |", f"|---|---|{'---|' * len(heads)}"]
    for kind in sorted({row["kind"] for row in rows}):
        of_kind = [row for row in rows if row["kind"] == kind]
        cells = [
            clustered([row for row in of_kind if row["user"] == user], what)
            for what in ("left", "told")
            for user in users
        ]
        lines.append(f"| {kind} | {sum(row['user'] == users[0] for row in of_kind)} | {' | '.join(cells)} |")
    missing = ", ".join(f"{user} {count}" for user, count in failed.items()) or "none"
    return "\n".join([*lines, "", f"Replies that failed and are left out: {missing}."])


def clustered(rows: Sequence[Mapping[str, Any]], what: str) -> str:
    """A mean of rows that come in chats: the variance of a ratio of sums over chats."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        sums.setdefault(row["chat"], []).append(float(row[what]))
    if not rows:
        return ""
    mean, n = statistics.fmean(value for values in sums.values() for value in values), len(rows)
    if len(sums) < 2:
        return f"{mean:.2f}"
    squares = sum((sum(values) - mean * len(values)) ** 2 for values in sums.values())
    half = student.ppf(0.975, len(sums) - 1) * (squares * len(sums) / (len(sums) - 1)) ** 0.5 / n
    return f"{mean:.2f} ± {half:.2f}"


if __name__ == "__main__":
    main()
