"""`collab demo --train`: the proof in small, in minutes, with no key and no download."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collab_order_desk.customers import Customer, customers
from collab_order_desk.evaluation import DeskConversation, aevaluate, statistics
from collab_order_desk.learning.base_model import Size, make_base
from collab_order_desk.learning.recipe import Recipe, play_of, train, write_openings
from collab_sdk.concurrency import run_sync
from collab_sdk.demos import Shown
from collab_sdk.errors import MissingExtraError
from collab_sdk.messages import Message
from collab_sdk.models import as_chat_model
from collab_sdk.training import TrainingProgress

SEED = 0
SHARES = ("success, ambiguous", "success, clear", "asks when ambiguous", "over-asks when clear")
"""What the picture shows."""
NEEDED = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "matplotlib")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How large the demo is: as large as three minutes on two CPU cores allow."""

    base: Size = field(default_factory=lambda: Size(lessons=3200, epochs=4.0, learning_rate=4e-3))
    recipe: Recipe = field(default_factory=lambda: Recipe())
    customers: int = 140
    rounds: int = 1
    evaluated: int = 200


def show(folder: Path, *, on_stage: Callable[[str], None], scale: Scale = Scale()) -> Shown:
    """A base that is taught to speak, then trained in rounds; each model meets the same customers at temperature 1."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise MissingExtraError.of(f"Training needs {missing[0]}", "train")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when PyTorch is loaded; more threads slow a model this small
    held_out = customers(scale.evaluated, seed=SEED, split="held-out")
    on_stage("teaching a language model to speak, from scratch")
    model = folder / "base"
    make_base(model, seed=SEED, size=scale.base)
    conversations = {"base": _evaluated(str(model), held_out)}
    work = folder / "rounds"
    shutil.rmtree(work, ignore_errors=True)  # rounds of an earlier demo would be taken for some to go on with
    openings = write_openings(folder / "openings.jsonl", customers(scale.customers, seed=SEED + 1))
    play = play_of(scale.recipe)
    for number in range(1, scale.rounds + 1):
        on_stage(f"round {number}: its own chats, other replies, futures, pairs, DPO")
        train(str(model), openings, work, scale.recipe, seed=SEED, on_progress=_unseen, rounds=number, play=play)
        conversations[f"round {number}"] = _evaluated(f"{model}@{work / f'round-{number}' / 'adapter'}", held_out)
    measured = {name: statistics(each) for name, each in conversations.items()}
    picture = folder / "order-desk.png"
    note = f"{scale.evaluated} customers whose orders were in no training, each model at temperature 1."
    _draw(measured, picture, title=note)
    last = list(conversations)[-1]
    return Shown(
        figures=measured,
        conversations=_contrast({name: conversations[name] for name in ("base", last)}),
        picture=picture,
        pairs=work / "round-1" / "prefs.jsonl",
        note=note,
    )


def _unseen(progress: TrainingProgress) -> None:
    """Seconds of training, in a demo of minutes."""


def _evaluated(model: str, held_out: Sequence[Customer]) -> list[DeskConversation]:
    return run_sync(aevaluate(as_chat_model(f"hf:{model}"), held_out, temperature=1.0))


def _contrast(conversations: Mapping[str, Sequence[DeskConversation]]) -> dict[str, tuple[Message, ...]]:
    """The first customer whom the first model sends away and the last one serves after a question."""
    first, *_, last = conversations.values()
    lost_and_won = (
        place
        for place, (before, after) in enumerate(zip(first, last, strict=True))
        if not before.is_success and not before.asks_first and after.is_success and after.asks_first
    )
    place = next(lost_and_won, 0)
    return {name: each[place].messages for name, each in conversations.items()}


def _draw(measured: Mapping[str, Mapping[str, float]], path: Path, *, title: str) -> None:
    """Bars of shares, grouped by statistic, one bar a model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(8, 3.6), layout="constrained"))
    axes = canvas.figure.subplots()
    width = 0.8 / len(measured)
    for place, (name, values) in enumerate(measured.items()):
        at = [i - 0.4 + width * (place + 0.5) for i in range(len(SHARES))]
        bars = axes.bar(at, [values[share] for share in SHARES], width=0.94 * width, label=name)
        axes.bar_label(bars, fmt="{:.0%}", fontsize=8, padding=2)
    axes.set_xticks(range(len(SHARES)), SHARES)
    axes.set_ylim(0, 1.12)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(frameon=False, ncols=len(measured), loc="upper left", bbox_to_anchor=(0, -0.1))
    canvas.figure.savefig(path)
