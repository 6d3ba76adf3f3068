"""How far a training is: one live line in a terminal, a line every tenth elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from collab_cli.progress import shown
from collab_cli.units import duration
from collab_sdk.training import TrainingProgress

FIGURES = {
    "loss": "loss",
    "reward": "reward",
    "ask_rate": "asks",
    "reply_tokens": "tokens",
    "kl": "KL",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "eval_loss": "held-out loss",
    "eval_logps/chosen": "chosen log-prob",
    "eval_rewards/accuracies": "held-out accuracy",
    "eval_rewards/margins": "held-out margin",
}
"""The trainer's names and the reader's."""


class TrainingLine:
    """Steps done of all, over the stages so far, with the latest figures."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total: int | None = 0
        self.done = 0
        self.on_update: Callable[[], None] = _nothing
        self._clock = clock
        self._latest = TrainingProgress(stage="", step=0, steps=0, metrics={})
        self._figures: dict[str, float] = {}
        self._before = 0
        self._began = (0, clock())

    def update(self, progress: TrainingProgress) -> None:
        if progress.stage != self._latest.stage:
            self._before += self._latest.steps
            self._figures = {}
            self._began = (progress.step, self._clock())
        self._latest = progress
        self._figures |= {FIGURES[name]: value for name, value in progress.metrics.items() if name in FIGURES}
        self.done, self.total = self._before + progress.step, self._before + progress.steps
        self.on_update()

    def line(self) -> str:
        stage, step, steps = self._latest.stage, self._latest.step, self._latest.steps
        if not steps:
            return "loading the base"
        parts = [f"{stage} {step:,}/{steps:,}"]
        parts += [f"{name} {value:.3f}" for name, value in self._figures.items()]
        first, began = self._began
        if first < step < steps:
            parts.append(f"{duration((self._clock() - began) / (step - first) * (steps - step))} left")
        return " · ".join(parts)


@contextmanager
def training_shown() -> Iterator[Callable[[TrainingProgress], None]]:
    line = TrainingLine()
    with shown(line):
        yield line.update


def _nothing() -> None:
    """A live line refreshes itself."""
