"""How a model learns at the desk, by what everybody has: chats, candidates, MR, pairs, and the methods of finetune."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from collab_trl import prepare

from collab_order_desk.customers import Customer
from collab_order_desk.evaluation import CONCURRENCY, EXCHANGES
from collab_order_desk.metrics import exact_order, right_slots
from collab_order_desk.model import OrderDeskUser
from collab_order_desk.policies import POLICIES
from collab_order_desk.till import Till
from collab_sdk import Engine, Metric, MRScorer, PreferenceExporter, Rollout, Simulator, TokenPenalty
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import get_chat_writer
from collab_sdk.models import ModelLike
from collab_sdk.simulator import Users
from collab_sdk.spec import Limits, PairRule
from collab_sdk.training import Play, TrainingOptions, TrainingProgress
from collab_sdk.types import Conversation

TOKEN_RATE = 0.01
OnProgress = Callable[[TrainingProgress], None]


def desk_reward() -> dict[Metric | str, float]:
    """R* = 1/2 success + 1/2 slots that are right - min(0.01 tokens, 1)."""
    return {exact_order(): 0.5, right_slots(): 0.5, TokenPenalty(rate=TOKEN_RATE): 1.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How replies are compared, and what is done with pairs of them."""

    candidates: int = 6
    samples: int = 3
    goals: int = 3
    """Of each turn; 1 is the paper's MR."""
    window: int = 2
    metrics: Callable[[], Mapping[Metric | str, float]] = field(default=desk_reward)
    min_margin: float = 0.03
    epochs: float = 8.0
    learning_rate: float = 3e-3
    beta: float = 0.5
    sft: float = 3.0
    """Weight of the SFT term, which keeps DPO from driving the chosen replies' likelihood down."""
    at_till: bool = False
    """Whether orders are placed at a till; then the metrics of the desk go by what is on it."""


def play_of(recipe: Recipe, *, cache: Path | None = None, user: Users | None = None) -> Play:
    """With the standing user, or another; who judges and proposes goals is the same in any case.

    With a cache, what one reward has made played is not played again for another.
    """
    engine, desk = Engine(cache=cache, limits=Limits(concurrency=CONCURRENCY)), OrderDeskUser()
    rollout = Rollout(
        assistant=POLICIES["never-ask"],  # until there is a model in its place
        simulator=Simulator(desk if user is None else user, engine=engine),
        window=recipe.window,
        samples=recipe.samples,
        temperature=1.0,
        tools=Till if recipe.at_till else "none",
    )
    return Play(
        scorer=MRScorer(rollout, metrics=recipe.metrics(), judge=desk, goals_per_turn=recipe.goals),
        exchanges=EXCHANGES,
        rule=PairRule(
            candidates=recipe.candidates, min_margin=recipe.min_margin, min_confidence=0.0, fixed_samples=True
        ),
    )


def write_openings(path: Path, met: Iterable[Customer]) -> Path:
    """What customers say first and what they want, as chats that a model is to answer."""
    row = get_chat_writer("collab")
    path.parent.mkdir(parents=True, exist_ok=True)
    with JsonlWriter(path) as file:
        for customer in met:
            file.write(row(customer.conversation()))
    return path


def make_pairs(bot: ModelLike, chats: Iterable[Conversation], path: Path, play: Play) -> None:
    """Preference pairs of the bot's own replies to the histories of `chats`."""
    exporter = PreferenceExporter(play.scorer.with_assistant(bot), **asdict(play.rule))
    with _at_the_cap():
        exporter.export(chats, path)


def train(
    base: str, data: Path, output: Path, recipe: Recipe, *, seed: int, on_progress: OnProgress, **changes: Any
) -> None:
    """Fine-tune `base`. `changes` are other options of the training: method, rounds, play."""
    options: dict[str, Any] = {
        "loss": (("sigmoid", 1.0), ("sft", recipe.sft)),
        "beta": recipe.beta,
        "epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
        "batch_size": 32,
        "per_device_batch_size": 32,
        "lora_r": 16,
        "lora_alpha": 32,
        "dtype": "float32",  # on every machine, so that it learns the same
        "eval_fraction": 0.0,
        "patience": 0,
        "seed": seed,
        "skip_bad": True,  # a call with the tokenizer's own marks in it, by a model that has lost its way
    }
    with _at_the_cap():
        prepare(TrainingOptions(data=data, base=base, output=output, **(options | changes))).run(on_progress)


@contextmanager
def _at_the_cap() -> Iterator[None]:
    """A reply that runs on for the length of a whole conversation is at the cap of its penalty, and is to be."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="token_penalty is at its cap")
        yield
