"""How fast a training is and how long it will take, by the tokens of its steps, which differ a lot."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate

import torch

from collab_trl.length_grouping import grouped

RECENT = 20
"""Steps that the speed is measured over."""


def tokens_by_step(
    tokens: Sequence[int], lengths: Sequence[int] | None, *, batch: int, seed: int, steps: int
) -> list[int]:
    """Tokens that have gone through the model after 0, 1, 2, ... steps, given those of each example.

    `lengths` are what LengthGroupedSampler sorts by; without them the order is not known, and steps count the same.
    """
    if lengths is None or not tokens:
        per_step = sum(tokens) * batch / max(1, len(tokens))
        return [round(step * per_step) for step in range(steps + 1)]
    found: list[int] = []
    epoch = 0
    while len(found) < steps:
        order = grouped(lengths, batch=batch, seed=f"{seed}/{epoch}")
        found += [sum(tokens[at] for at in order[first : first + batch]) for first in range(0, len(order), batch)]
        epoch += 1
    return [0, *accumulate(found[:steps])]


class Pace:
    """Told of steps and evaluations as they end, says the speed and the time left. `clock` gives seconds."""

    def __init__(self, work: Sequence[float], clock: Callable[[], float] = time.monotonic) -> None:
        """`work` is what is done after 0, 1, 2, ... steps, in any unit."""
        self._work = work
        self._clock = clock
        self._since: float | None = None
        """When the step, or the evaluation, that is under way began."""
        self._busy = 0.0
        self._steps: deque[tuple[int, float]] = deque(maxlen=RECENT + 1)
        self._evaluations: list[float] = []

    def begin(self, step: int) -> None:
        """The first step after `step` begins now; later ones begin where something has ended."""
        if not self._steps:
            self._steps.append((step, 0.0))
            self._since = self._clock()

    def end_step(self, step: int) -> None:
        self._busy += self._elapsed()
        self._steps.append((step, self._busy))

    def end_evaluation(self) -> None:
        """Of what was evaluated since the last step, or since `watch`."""
        if self._since is not None:
            self._evaluations.append(self._elapsed())

    def watch(self) -> None:
        """The time is taken from now on."""
        self._since = self._clock()

    def _elapsed(self) -> float:
        now = self._clock()
        since, self._since = self._since, now
        return 0.0 if since is None else now - since

    @property
    def speed(self) -> float | None:
        """Work a second, over recent steps, evaluations apart."""
        if len(self._steps) < 2:
            return None
        (first, began), (last, ended) = self._steps[0], self._steps[-1]
        return (self._work[last] - self._work[first]) / (ended - began) if ended > began else None

    def seconds_left(self, step: int, *, evaluations: int) -> float | None:
        """With so many evaluations to come, each as long as those before."""
        if not self.speed:
            return None
        one = sum(self._evaluations) / len(self._evaluations) if self._evaluations else 0.0
        return (self._work[-1] - self._work[step]) / self.speed + evaluations * one


def peak_bytes() -> int:
    """The most memory that was in use: on the GPU, or else of the process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # on Windows
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
