"""What was seen of the held-out examples that choose a checkpoint, and which checkpoint they choose."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collab_sdk.stats import estimate_difference
from collab_trl.output.workplace import read_json, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How far a training is, by its looks."""

    kept: int
    """The step whose adapter is kept: the last one, unless an earlier one was clearly better."""
    best: int
    """The step at which the loss was lowest."""
    worse: int
    """How many looks in a row, up to the last, were clearly worse than that."""


class Looks:
    """The loss of each held-out example, look by look, in a file, so that a resumed run goes on as if never stopped.

    A look is clearly worse than another where the 95 % interval of the difference, over conversations, is above 0: the
    lowest of ten means of a few examples would be low by chance.
    """

    def __init__(self, path: Path, conversations: Sequence[str], *, until: int) -> None:
        """`conversations` are those of the examples, in their order; what was seen after step `until` is forgotten."""
        self._path = path
        self._conversations = conversations
        kept = {int(step): losses for step, losses in (read_json(path) or {}).items()}
        self._losses: dict[int, Sequence[float]] = {step: kept[step] for step in sorted(kept) if step <= until}

    def __len__(self) -> int:
        return len(self._losses)

    def add(self, step: int, losses: Sequence[float], *, write: bool) -> None:
        """What was seen before the first step is left out, as nothing was learnt then. One process writes."""
        if step:
            self._losses[step] = losses
        if write:
            write_json(self._path, self._losses)

    def standing(self) -> Standing | None:
        """None before the first look."""
        if not self._losses:
            return None
        means = {step: sum(losses) / len(losses) for step, losses in self._losses.items()}
        last, best = max(means), min(means, key=lambda step: (means[step], -step))
        after = [step for step in self._losses if step > best]
        worse = next((n for n, step in enumerate(reversed(after)) if not self._is_worse(step, best)), len(after))
        return Standing(kept=best if worse else last, best=best, worse=worse)

    def _is_worse(self, step: int, best: int) -> bool:
        groups: dict[str, list[tuple[float, float]]] = {}
        pairs = zip(self._losses[best], self._losses[step], strict=True)
        for conversation, pair in zip(self._conversations, pairs, strict=True):
            groups.setdefault(conversation, []).append(pair)
        found = estimate_difference(list(groups.values()))
        return found is not None and found.low is not None and found.low > 0
