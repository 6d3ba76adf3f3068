"""What is compared: each arm makes, from the base of its seed, the bot that is evaluated."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from collab_trl.order_desk.rounds import Recipe, learn

Arm = Callable[[Path, Recipe, int], str]
"""From the seed's folder, the recipe and the seed to the name of a bot."""


def base(folder: Path, recipe: Recipe, seed: int) -> str:
    return f"hf:{folder / 'base'}"


def proactive(folder: Path, recipe: Recipe, seed: int) -> str:
    return f"proactive:hf:{folder / 'base'}"


def one_goal(folder: Path, recipe: Recipe, seed: int) -> str:
    """Every future is judged by the one true goal, as in the paper."""
    fixed = replace(recipe, goals=1)
    return f"hf:{learned(folder / 'base', folder / 'one-goal', fixed, seed)}"


def one_round(folder: Path, recipe: Recipe, seed: int) -> str:
    return f"hf:{learned(folder / 'base', folder / 'round-1', recipe, seed)}"


def two_rounds(folder: Path, recipe: Recipe, seed: int) -> str:
    first = learned(folder / "base", folder / "round-1", recipe, seed)
    return f"hf:{learned(first, folder / 'round-2', recipe, seed + 1000)}"


ARMS: dict[str, Arm] = {
    "base": base,
    "proactive prompt": proactive,
    "offline DPO, one goal": one_goal,
    "offline DPO": one_round,
    "2-round DPO": two_rounds,
}


def learned(base: Path, folder: Path, recipe: Recipe, seed: int) -> Path:
    """The merged model of a round, which is done once."""
    merged = folder / "adapter" / "merged"
    return merged if merged.exists() else learn(base, folder, recipe, seed=seed, on_progress=lambda _: None)
