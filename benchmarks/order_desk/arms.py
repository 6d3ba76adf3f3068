"""What is compared: each arm makes, from the base of its seed, the bot that is evaluated."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from claims import REFERENCE, TUNED
from collab_order_desk import customers
from collab_order_desk.learning.recipe import Recipe, desk_reward, make_pairs, play_of, train, write_openings
from collab_trl import prepare
from collab_trl.online.rollouts import aroll_out, read_rollouts, write_rollouts
from collab_trl.output.workplace import METRICS
from controls import Unprompted, helpfulness, intrinsic_only, task_only, without_penalty, words_alone

from collab_sdk import Conversation, Metric
from collab_sdk.concurrency import all_settled, run_sync
from collab_sdk.scorer import scene_of
from collab_sdk.spec import PairRule
from collab_sdk.training import Play, TrainingOptions

NEW_KIND = "syrup"
"""The slot that is always settled from the start in the training that tests whether asking generalises to it."""
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One seed: its base, its customers, and where all of its arms' work lies."""

    folder: Path
    seed: int
    customers: int
    recipe: Recipe
    """The recipe that was made for the desk."""
    is_smoke: bool = False

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def bot(self) -> str:
        return f"hf:{self.base}"

    @property
    def cache(self) -> Path:
        """Of what was played: arms that differ in the reward alone play nothing again."""
        return self.folder / "cache"

    @property
    def openings(self) -> Path:
        path = self.folder / "openings-rounds.jsonl"
        return path if path.exists() else write_openings(path, customers(self.customers, seed=self.seed))

    def chats(self, *, always: tuple[str, ...] = ()) -> Sequence[Conversation]:
        """What the base and its customers say to each other; the slots `always` are named in every opening."""
        path = self.folder / ("-".join(["chats", *always]) + ".jsonl")
        if not path.exists():
            play = play_of(self.recipe)
            met = [customer.conversation() for customer in customers(self.customers, seed=self.seed, always=always)]
            scorer = play.scorer.with_assistant(self.bot)
            write_rollouts(run_sync(aroll_out(met, scorer, exchanges=play.exchanges, draw=path.stem)), path)
        return read_rollouts(path).conversations


Arm = Callable[[Trial], str]
"""From a trial to the name of a bot."""
EXPORTED = PairRule()
RAW = PairRule(min_confidence=0.0, fixed_samples=True)
"""The paper's: best against worst by raw margins, over exactly so many futures."""
OF_THE_DESK = Recipe()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Pairs of the base's own replies; the defaults are those of `collab export-prefs`."""

    name: str
    rule: PairRule = EXPORTED
    samples: int = 3
    goals: int = 1
    window: int = 2
    metrics: Callable[[], Mapping[Metric | str, float]] = desk_reward
    is_prompted: bool = True
    """Whether half of the fresh replies are drawn under the proactive prompt."""
    always: tuple[str, ...] = ()

    def of(self, trial: Trial) -> Path:
        """Made where they are not there yet; an empty file where no pair was found."""
        folder = trial.folder / "pairs" / self.name
        path = folder / "prefs.jsonl"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            bot = trial.bot if self.is_prompted else Unprompted(trial.bot)
            make_pairs(bot, trial.chats(always=self.always), path, self._play(trial))
            path.touch()  # where no pair was found, too
        return path

    def _play(self, trial: Trial) -> Play:
        changes: dict[str, Any] = {"samples": self.samples, "goals": self.goals, "window": self.window}
        play = play_of(replace(trial.recipe, metrics=self.metrics, **changes), cache=trial.cache)
        return replace(play, rule=replace(self.rule, min_confidence=0.0) if trial.is_smoke else self.rule)


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """How an adapter is trained: by the defaults of `collab finetune`, but for these options."""

    options: Mapping[str, Any]

    def of(self, trial: Trial, name: str, rows: Callable[[Trial], Rows]) -> str:
        """The bot trained on the rows. With none, as of a reward that tells no replies apart, it is the base."""
        folder = trial.folder / "adapters" / name
        data, adapter = folder / "data.jsonl", folder / "adapter"
        if not (adapter / METRICS).exists():
            if not data.exists():
                found = rows(trial)
                folder.mkdir(parents=True, exist_ok=True)
                partial = folder / "data.partial"
                partial.write_text("".join(json.dumps(row) + "\n" for row in found))
                partial.rename(data)
            if not data.stat().st_size:
                return trial.bot
            always = {"seed": trial.seed, "dtype": "float32", "skip_bad": True}  # on every machine the same
            shortest = {"epochs": 1.0} if trial.is_smoke else {}
            options = {**always, **self.options, **shortest}
            prepare(TrainingOptions(data=data, base=str(trial.base), output=adapter, **options)).run(quiet)
        return f"hf:{trial.base}@{adapter}"

    def but(self, **changes: Any) -> "Training":
        return Training(options={**self.options, **changes})


SHIPPED = Training(options={})
FASTER = SHIPPED.but(learning_rate=3e-3, epochs=8.0)
"""The least change to the shipped training by which a model this small learns: ten times the rate, and more steps."""
DESKS = Training(
    options={
        "loss": (("sigmoid", 1.0), ("sft", OF_THE_DESK.sft)),
        "beta": OF_THE_DESK.beta,
        "epochs": OF_THE_DESK.epochs,
        "learning_rate": OF_THE_DESK.learning_rate,
        "batch_size": 32,
        "lora_r": 16,
        "lora_alpha": 32,
        "eval_fraction": 0.0,
        "patience": 0,
    }
)
"""That of the recipe which was made for this model."""
NO_SFT = (("sigmoid", 1.0),)


def base(trial: Trial) -> str:
    return trial.bot


def proactive(trial: Trial) -> str:
    return f"proactive:{trial.bot}"


def trained(name: str, pairs: Pairs, training: Training, change: Callable[[Trial, Rows], Rows] | None = None) -> Arm:
    """On pairs, or on what `change` makes of them."""

    def rows(trial: Trial) -> Rows:
        found = read_rows(pairs.of(trial))
        return found if change is None else change(trial, found)

    return lambda trial: training.of(trial, name, rows)


def shuffled(trial: Trial, rows: Rows) -> Rows:
    """It is left to chance which side of a pair was chosen."""
    random = Random(trial.seed)
    turned = ({**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows)
    return [row if random.random() < 0.5 else other for row, other in zip(rows, turned, strict=True)]


def all_proactive(trial: Trial, rows: Rows) -> Rows:
    """A reply under the proactive prompt to each history of the chats, whatever it leads to."""
    rollout = play_of(trial.recipe).scorer.with_assistant(proactive(trial)).rollout

    async def replied(chat: Conversation) -> list[dict[str, Any]]:
        found = []
        for turn in chat.turns():
            draw = f"{chat.id}/{turn.index}/proactive"
            reply = await rollout.arespond(turn.history, sample=draw, scene=scene_of(chat))
            prompt, completion = ([message.to_dict() for message in part] for part in (turn.history, reply))
            found.append({"conversation_id": chat.id, "prompt": prompt, "completion": completion})
        return found

    return [row for each in run_sync(all_settled(map(replied, trial.chats()))) for row in each]


def as_many_proactive(trial: Trial, rows: Rows) -> Rows:
    """Of those as many, at random, as MR has chosen replies."""
    every = all_proactive(trial, rows)
    return Random(trial.seed).sample(every, min(len(rows), len(every)))


def rounds(n: int, *, name: str = "rounds", **changes: Any) -> Arm:
    """`n` rounds of the desk's recipe on the model's own conversations; those of one `name` go on from each other."""

    def arm(trial: Trial) -> str:
        output, recipe = trial.folder / name, replace(trial.recipe, **changes)
        adapter = output / f"round-{n}" / "adapter"
        if not (adapter / METRICS).exists():
            play = play_of(recipe, cache=trial.cache)
            base, data, seed = str(trial.base), trial.openings, trial.seed
            train(base, data, output, recipe, seed=seed, on_progress=quiet, rounds=n, play=play)
        return f"{trial.bot}@{adapter}"

    return arm


def online(method: str, **settings: Any) -> Arm:
    """A method that lets the model talk while it is trained, by settings that were found for this model."""

    def arm(trial: Trial) -> str:
        output = trial.folder / method
        if not (output / METRICS).exists():
            play = play_of(replace(trial.recipe, candidates=settings["candidates"]))
            options = {name: value for name, value in settings.items() if name != "candidates"}
            base, data, seed = str(trial.base), trial.openings, trial.seed
            train(base, data, output, trial.recipe, seed=seed, on_progress=quiet, method=method, play=play, **options)
        return f"{trial.bot}@{output}"

    return arm


def read_rows(pairs: Path) -> Rows:
    return [json.loads(line) for line in pairs.read_text().splitlines()]


def quiet(_: object) -> None:
    """A trial tells when it is done."""


DEFAULT = Pairs(name="default")
ALL_OF_THE_DESK = Pairs(
    name="desk",
    rule=PairRule(
        candidates=OF_THE_DESK.candidates,
        min_margin=OF_THE_DESK.min_margin,
        min_confidence=0.0,
        fixed_samples=True,
    ),
    goals=OF_THE_DESK.goals,
)
reference = trained("reference", DEFAULT, FASTER)
tuned = trained("desk-training", DEFAULT, DESKS)
MAIN: dict[str, Arm] = {
    "base": base,
    "proactive prompt": proactive,
    "as shipped": trained("shipped", DEFAULT, SHIPPED),
    REFERENCE: reference,
    TUNED: tuned,
    "the desk's recipe": trained("desk", ALL_OF_THE_DESK, DESKS),
    "SFT on the chosen": trained("sft", DEFAULT, FASTER.but(method="sft")),
    "SFT on as many proactive replies": trained("sft-proactive", DEFAULT, FASTER.but(method="sft"), as_many_proactive),
    "SFT on all proactive replies": trained("sft-proactive-all", DEFAULT, FASTER.but(method="sft"), all_proactive),
}
CONTROLS: dict[str, Arm] = {
    TUNED: tuned,
    "no proactive candidates": trained("tuned-unprompted", Pairs(name="unprompted", is_prompted=False), DESKS),
    "labels shuffled": trained("tuned-shuffled", DEFAULT, DESKS, shuffled),
    "no SFT term": trained("tuned-no-sft", DEFAULT, DESKS.but(loss=NO_SFT)),
    "no SFT term, shuffled labels": trained("tuned-shuffled-no-sft", DEFAULT, DESKS.but(loss=NO_SFT), shuffled),
    "no future (window 0)": trained("tuned-window-0", Pairs(name="window-0", rule=RAW, window=0), DESKS),
    "several goals": trained("tuned-goals-3", Pairs(name="goals-3", goals=3), DESKS),
    "raw margins, three futures": trained("tuned-raw-3", Pairs(name="raw-3", rule=RAW), DESKS),
    "raw margins, one future": trained("tuned-raw-1", Pairs(name="raw-1", rule=RAW, samples=1), DESKS),
    "intrinsic reward only": trained("tuned-intrinsic", Pairs(name="intrinsic", metrics=intrinsic_only), DESKS),
}
FURTHER: dict[str, Arm] = {
    TUNED: tuned,
    "single-turn helpfulness": trained(
        "tuned-helpfulness", Pairs(name="helpfulness", rule=RAW, window=0, metrics=helpfulness), DESKS
    ),
    "task metric only": trained("tuned-task", Pairs(name="task", metrics=task_only), DESKS),
    "token penalty off": trained("tuned-no-penalty", Pairs(name="no-penalty", metrics=without_penalty), DESKS),
    "six candidates": trained("tuned-candidates-6", Pairs(name="candidates-6", rule=PairRule(candidates=6)), DESKS),
}
UNCHANGED: dict[str, Arm] = {name: MAIN[name] for name in ("base", "proactive prompt", TUNED)}
"""Met again, by customers who speak otherwise."""
NEW_KINDS: dict[str, Arm] = {
    "base": base,
    "all kinds were open in training": tuned,
    f"{NEW_KIND} was never open in training": trained(
        "tuned-settled", Pairs(name=f"settled-{NEW_KIND}", always=(NEW_KIND,)), DESKS
    ),
}
ROUNDS: dict[str, Arm] = {
    "one round of the desk's recipe": rounds(1),
    "two rounds of the desk's recipe": rounds(2),
    "GRPO": online("grpo", candidates=8, batch_size=128, per_device_batch_size=128, beta=0.02, epochs=2.0),
    "PPO": online(
        "ppo", candidates=8, batch_size=128, per_device_batch_size=128, beta=0.02, epochs=1.2, learning_rate=1e-3
    ),
    "online DPO": online("online-dpo", candidates=6, batch_size=32, beta=0.2, epochs=3.0, learning_rate=1e-3),
}
DEEDS: dict[str, Arm] = {
    "base": base,
    "rewarded for words, one round": rounds(1, name="words", metrics=words_alone),
    "rewarded for words, two rounds": rounds(2, name="words", metrics=words_alone),
    "rewarded for deeds, one round": rounds(1),
    "rewarded for deeds, two rounds": rounds(2),
}
