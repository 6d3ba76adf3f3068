"""One round of learning at the desk, by what everybody uses: logged chats, candidates, MR, pairs, DPO, merge."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collab_sdk import Engine, ExportReport, Metric, MRScorer, PreferenceExporter, Rollout, Simulator, TokenPenalty
from collab_sdk.chat.adapt import as_chat_model
from collab_sdk.chat.loop import run_sync
from collab_sdk.tasks.order_desk import OrderDeskUser, exact_order, right_slots, visitors
from collab_sdk.training import TrainingOptions, TrainingProgress
from collab_sdk.types import Conversation
from collab_trl import prepare
from collab_trl.order_desk.evaluation import CONCURRENCY, avisit

TOKEN_RATE = 0.01


def desk_reward() -> dict[Metric | str, float]:
    """R* = 1/2 success + 1/2 slots that are right - min(0.01 tokens, 1)."""
    return {exact_order(): 0.5, right_slots(): 0.5, TokenPenalty(rate=TOKEN_RATE): 1.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a round is done."""

    visitors: int = 500
    candidates: int = 6
    samples: int = 3
    goals: int = 3
    """Of each turn; 1 is the paper's MR."""
    window: int = 2
    metrics: Callable[[], Mapping[Metric | str, float]] = field(default=desk_reward)
    min_margin: float = 0.03
    epochs: float = 4.0
    learning_rate: float = 1e-3
    beta: float = 0.2
    sft: float = 1.0
    """Weight of the SFT term, which keeps DPO from driving the chosen replies' likelihood down."""


def log_chats(bot: str, *, n: int, seed: int) -> list[Conversation]:
    """What a bot in use would have logged, with the goals behind it."""
    visits = run_sync(avisit(as_chat_model(bot), visitors(n, seed=seed), temperature=1.0, name="log"))
    return [visited.visitor.conversation(*visited.messages[1:]) for visited in visits]


def make_pairs(bot: str, chats: list[Conversation], path: Path, recipe: Recipe) -> ExportReport:
    """Write preference pairs of the bot's own replies."""
    engine = Engine(concurrency=CONCURRENCY)
    user = OrderDeskUser()
    rollout = Rollout(
        assistant=bot,
        simulator=Simulator(user, engine=engine),
        window=recipe.window,
        samples=recipe.samples,
        temperature=1.0,
    )
    scorer = MRScorer(rollout, metrics=recipe.metrics(), judge=user, goals_per_turn=recipe.goals)
    exporter = PreferenceExporter(
        scorer, candidates=recipe.candidates, min_margin=recipe.min_margin, min_z=0.0, adaptive=False
    )
    with warnings.catch_warnings():
        # A reply that runs on for the length of a whole conversation is at the cap, and is to be.
        warnings.filterwarnings("ignore", message="token_penalty is at its cap")
        return exporter.export(chats, path)


def train(
    base: Path, pairs: Path, output: Path, recipe: Recipe, *, seed: int, on_progress: Callable[[TrainingProgress], None]
) -> Path:
    """Fine-tune `base` on the pairs; the folder of the merged model, which is the next round's base."""
    options = TrainingOptions(
        data=pairs,
        base=str(base),
        output=output,
        loss=(("sigmoid", 1.0), ("sft", recipe.sft)),
        beta=recipe.beta,
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        batch_size=32,
        micro_batch=32,
        rank=16,
        alpha=32,
        eval_fraction=0.0,
        patience=0,
        seed=seed,
        merge=True,
    )
    prepare(options).run(on_progress)
    return output / "merged"


def learn(
    base: Path, folder: Path, recipe: Recipe, *, seed: int, on_progress: Callable[[TrainingProgress], None]
) -> Path:
    """One round: the base's own chats, their pairs, and the model trained on them."""
    bot = f"hf:{base}"
    pairs = folder / "prefs.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    make_pairs(bot, log_chats(bot, n=recipe.visitors, seed=seed), pairs, recipe)
    return train(base, pairs, folder / "adapter", recipe, seed=seed, on_progress=on_progress)
