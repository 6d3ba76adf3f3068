"""`collab demo --train`: the proof in small, in minutes, with no key and no download."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collab_sdk.demos import Shown
from collab_sdk.engine import run_sync
from collab_sdk.errors import MissingExtraError
from collab_sdk.models import as_chat_model
from collab_sdk.tasks.order_desk import Visitor, visitors
from collab_sdk.training import TrainingProgress
from collab_sdk.types import Message
from collab_trl.order_desk.base import Size, make_base
from collab_trl.order_desk.evaluation import Visited, avisit, figures
from collab_trl.order_desk.picture import draw
from collab_trl.order_desk.recipe import Recipe, play_of, train, write_openings

SEED = 0
NEEDED = ("torch", "transformers", "peft", "trl", "matplotlib")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How large the demo is."""

    base: Size = field(default_factory=lambda: Size(epochs=4.5))
    recipe: Recipe = field(default_factory=lambda: Recipe())
    visitors: int = 220
    rounds: int = 2
    evaluated: int = 200


def show(folder: Path, *, on_stage: Callable[[str], None], scale: Scale = Scale()) -> Shown:
    """A base that is taught to speak, then trained in rounds; each model meets the same visitors at temperature 1."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise MissingExtraError.of(f"Training needs {missing[0]}", "train")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when PyTorch is loaded; more threads slow a model this small
    held_out = visitors(scale.evaluated, seed=SEED, split="held-out")
    on_stage("teaching a language model to speak, from scratch")
    model = folder / "base"
    make_base(model, seed=SEED, size=scale.base)
    visits = {"base": _visits(model, held_out)}
    work = folder / "rounds"
    shutil.rmtree(work, ignore_errors=True)  # rounds of an earlier demo would be taken for some to go on with
    openings = write_openings(folder / "openings.jsonl", visitors(scale.visitors, seed=SEED + 1))
    play = play_of(scale.recipe)
    for number in range(1, scale.rounds + 1):
        on_stage(f"round {number}: its own chats, other replies, futures, pairs, DPO")
        train(str(model), openings, work, scale.recipe, seed=SEED, on_progress=_unseen, rounds=number, play=play)
        visits[f"round {number}"] = _visits(work / f"round-{number}" / "adapter" / "merged", held_out)
    measured = {name: figures(visited) for name, visited in visits.items()}
    picture = folder / "order-desk.png"
    note = f"{scale.evaluated} visitors whose orders were in no training, each model at temperature 1."
    draw(measured, picture, title=note)
    last = list(visits)[-1]
    return Shown(
        figures=measured,
        conversations=_telling({name: visits[name] for name in ("base", last)}),
        picture=picture,
        note=note,
    )


def _unseen(progress: TrainingProgress) -> None:
    """Seconds of training, in a demo of minutes."""


def _visits(model: Path, held_out: Sequence[Visitor]) -> list[Visited]:
    return run_sync(avisit(as_chat_model(f"hf:{model}"), held_out, temperature=1.0))


def _telling(visits: Mapping[str, Sequence[Visited]]) -> dict[str, tuple[Message, ...]]:
    """The first visitor whom the first model sends away and the last one serves after a question."""
    first, *_, last = visits.values()
    lost_and_won = (
        place
        for place, (before, after) in enumerate(zip(first, last, strict=True))
        if not before.is_success and not before.asks_first and after.is_success and after.asks_first
    )
    place = next(lost_and_won, 0)
    return {name: visited[place].messages for name, visited in visits.items()}
