"""What is compared: each arm makes, from the base of its seed, the bot that is evaluated."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from collab_order_desk import customers, exact_order, right_slots
from collab_order_desk.learning.recipe import TOKEN_RATE, Recipe, make_pairs, play_of, train, write_openings
from collab_order_desk.speech import read_reply
from collab_order_desk.world import said_by_user
from collab_trl.online.rollouts import aroll_out
from collab_trl.output.workplace import METRICS

from collab_sdk import Evidence, Metric, TokenPenalty, read_conversations
from collab_sdk.concurrency import run_sync
from collab_sdk.types import Conversation, Goal

FEW = 200
"""Chats that the ablations learn from, the first of those that a round learns from."""
NEW_KIND = "syrup"
"""The slot that is always settled from the start in the training that tests whether asking generalises to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One seed: its base, its customers, and where all of its arms' work lies."""

    folder: Path
    seed: int
    customers: int
    recipe: Recipe

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def cache(self) -> Path:
        """Of what was played: arms that differ in the reward alone play nothing again."""
        return self.folder / "cache"

    @property
    def openings(self) -> Path:
        path = self.folder / "openings-rounds.jsonl"
        return path if path.exists() else write_openings(path, customers(self.customers, seed=self.seed))


MEASURES = {metric.name: metric for metric in (exact_order(), right_slots())}
Arm = Callable[[Trial], str]
"""From a trial to the name of a bot."""


def base(trial: Trial) -> str:
    return f"hf:{trial.base}"


def proactive(trial: Trial) -> str:
    return f"proactive:hf:{trial.base}"


def rounds(n: int, *, name: str = "rounds", **changes: Any) -> Arm:
    """`n` rounds of DPO on the model's own conversations; those of one `name` go on from each other."""

    def arm(trial: Trial) -> str:
        output, recipe = trial.folder / name, replace(trial.recipe, **changes)
        adapter = output / f"round-{n}" / "adapter"
        if not (adapter / METRICS).exists():
            play = play_of(recipe, cache=trial.cache)
            base, data, seed = str(trial.base), trial.openings, trial.seed
            train(base, data, output, recipe, seed=seed, on_progress=quiet, rounds=n, play=play)
        return f"hf:{trial.base}@{adapter}"

    return arm


def offline(name: str, **changes: Any) -> Arm:
    """One round on few chats of the first, with another recipe."""

    def arm(trial: Trial) -> str:
        recipe = replace(trial.recipe, **changes)

        def pairs(path: Path) -> None:
            few = islice(_chats(trial), FEW)
            make_pairs(f"hf:{trial.base}", few, path, play_of(recipe, cache=trial.cache))

        return _trained(trial, name, pairs, recipe)

    return arm


def settled(trial: Trial) -> str:
    """As few chats, of customers who all name the new kind in their opening, so that nobody has to ask about it."""

    def pairs(path: Path) -> None:
        play = play_of(trial.recipe, cache=trial.cache)
        met = customers(FEW, seed=trial.seed, always=(NEW_KIND,))
        chats = [customer.conversation() for customer in met]
        bot = f"hf:{trial.base}"
        rollouts = run_sync(aroll_out(chats, play.scorer.with_assistant(bot), exchanges=play.exchanges, draw="settled"))
        make_pairs(bot, rollouts.conversations, path, play)

    return _trained(trial, f"settled-{NEW_KIND}", pairs, trial.recipe)


def shuffled(trial: Trial) -> str:
    """The control: it is left to chance which side of a pair was chosen."""

    def pairs(path: Path) -> None:
        reference(trial)
        random = Random(trial.seed)
        rows = _rows(trial.folder / "reference" / "prefs.jsonl")
        for row in rows:
            if random.random() < 0.5:
                row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    return _trained(trial, "shuffled", pairs, trial.recipe)


def best(trial: Trial) -> str:
    """SFT on the chosen replies."""

    def pairs(path: Path) -> None:
        rounds(1)(trial)
        rows = _rows(trial.folder / "rounds" / "round-1" / "prefs.jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    return _trained(trial, "sft", pairs, trial.recipe, method="sft")


def online(method: str, **settings: Any) -> Arm:
    """A method that lets the model talk while it is trained."""

    def arm(trial: Trial) -> str:
        output = trial.folder / method
        if not (output / METRICS).exists():
            play = play_of(replace(trial.recipe, candidates=settings["candidates"]))
            options = {name: value for name, value in settings.items() if name != "candidates"}
            base, data, seed = str(trial.base), trial.openings, trial.seed
            train(base, data, output, trial.recipe, seed=seed, on_progress=quiet, method=method, play=play, **options)
        return f"hf:{trial.base}@{output}"

    return arm


def task_only() -> Mapping[Metric | str, float]:
    return {exact_order(): 1.0}


def without_penalty() -> Mapping[Metric | str, float]:
    return {exact_order(): 0.5, right_slots(): 0.5}


def intrinsic_only() -> Mapping[Metric | str, float]:
    return {"interactivity": 1.0, TokenPenalty(rate=TOKEN_RATE): 1.0}


def helpfulness() -> Mapping[Metric | str, float]:
    return {Helpfulness(): 1.0}


def words_alone() -> Mapping[Metric | str, float]:
    """The desk's own reward, as a judge gives it who is not shown what was done and believes what was said."""
    return {Believed("exact_order"): 0.5, Believed("right_slots"): 0.5, TokenPenalty(rate=TOKEN_RATE): 1.0}


@dataclass(frozen=True)
class Believed:
    """A metric of the desk by the order that the customer was told of last, whatever is on the till."""

    name: str

    def check(self, goal: Goal) -> None:
        MEASURES[self.name].check(goal)

    def value(self, evidence: Evidence) -> float:
        said = (message for message in evidence.messages if message.content and message.role != "tool")
        spoken = tuple(replace(message, tool_calls=()) for message in said)
        return MEASURES[self.name].value(replace(evidence, messages=spoken, tools=()))


@dataclass(frozen=True)
class Helpfulness:
    """What a judge of single replies likes: an order that keeps to all that was said, a question half as much."""

    name: str = "helpfulness"

    def rubric(self, goal: Any) -> None:
        return None

    def artefact(self, goal: Any) -> None:
        return None

    def value(self, evidence: Evidence) -> float:
        *history, response = evidence.messages
        reply = read_reply(response.content)
        if reply.order is not None:
            return float(said_by_user(history).items() <= reply.order.items())
        return 0.5 if reply.asked else 0.0


MAIN: dict[str, Arm] = {
    "base": base,
    "proactive prompt": proactive,
    "SFT on best": best,
    "offline DPO": rounds(1),
    "2-round DPO": rounds(2),
    "online DPO": online("online-dpo", candidates=6, batch_size=32, beta=0.2, epochs=3.0, learning_rate=1e-3),
    "GRPO": online("grpo", candidates=8, batch_size=128, per_device_batch_size=128, beta=0.02, epochs=2.0),
    "PPO": online(
        "ppo", candidates=8, batch_size=128, per_device_batch_size=128, beta=0.02, epochs=1.2, learning_rate=1e-3
    ),
}
reference = offline("reference")
ABLATIONS: dict[str, Arm] = {
    "window 2, futures 3, candidates 6": reference,
    "window 0": offline("window-0", window=0),
    "window 1": offline("window-1", window=1),
    "window 3": offline("window-3", window=3),
    "task metric only": offline("task-only", metrics=task_only),
    "intrinsic only": offline("intrinsic-only", metrics=intrinsic_only),
    "single-turn helpfulness": offline("helpfulness", window=0, metrics=helpfulness),
    "token penalty off": offline("no-penalty", metrics=without_penalty),
    "futures 1": offline("futures-1", samples=1),
    "futures 8": offline("futures-8", samples=8),
    "candidates 2": offline("candidates-2", candidates=2),
    "candidates 4": offline("candidates-4", candidates=4),
    "one goal (the paper's MR)": offline("one-goal", goals=1),
    "shuffled labels": shuffled,
}
NEW_KINDS: dict[str, Arm] = {
    "base": base,
    "all kinds were open in training": reference,
    f"{NEW_KIND} was never open in training": settled,
}


DEEDS: dict[str, Arm] = {
    "base": base,
    "rewarded for words, one round": rounds(1, name="words", metrics=words_alone),
    "rewarded for words, two rounds": rounds(2, name="words", metrics=words_alone),
    "rewarded for deeds, one round": rounds(1),
    "rewarded for deeds, two rounds": rounds(2),
}


def _trained(trial: Trial, name: str, pairs: Callable[[Path], None], recipe: Recipe, **options: Any) -> str:
    folder = trial.folder / name
    adapter = folder / "adapter"
    if not (adapter / METRICS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "prefs.jsonl"
        if not data.exists():
            pairs(data)
        if not data.stat().st_size:  # a reward that tells no replies apart leaves the base as it is
            return base(trial)
        train(str(trial.base), data, adapter, recipe, seed=trial.seed, on_progress=quiet, **options)
    return f"hf:{trial.base}@{adapter}"


def _chats(trial: Trial) -> Iterable[Conversation]:
    """Of the base with its customers, which the first round has made."""
    rounds(1)(trial)
    return read_conversations([trial.folder / "rounds" / "round-1" / "chats.jsonl"])


def _rows(pairs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pairs.read_text().splitlines()]


def quiet(_: object) -> None:
    """A trial tells when it is done."""
