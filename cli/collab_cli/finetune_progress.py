"""How far a training is: a live line in a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from collab_cli.progress import shown
from collab_cli.units import duration, size
from collab_sdk.training import TrainingProgress

STATISTICS = {
    "loss": "loss",
    "eval_rewards/margins": "held-out margin",
    "eval_loss": "held-out loss",
    "reward": "reward",
    "ask_rate": "asks",
    "reply_tokens": "tokens",
    "kl": "KL",
    "eval_rewards/accuracies": "held-out accuracy",
    "eval_logps/chosen": "chosen log-prob",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
}
"""The trainer's names and the reader's; the first ones are shown where there is room for few."""
RATE = "learning_rate"


class TrainingLine:
    """Steps done of all, over the stages so far, with the latest statistics: first what is looked for most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.total: int | None = 0
        self.done = 0
        self.on_update: Callable[[], None] = _nothing
        self._clock = clock
        self._latest = TrainingProgress(stage="", step=0, steps=0, metrics={})
        self._told = clock()
        self._metrics: dict[str, float] = {}
        self._before = 0

    def update(self, progress: TrainingProgress) -> None:
        if progress.stage != self._latest.stage:
            self._before += self._latest.steps
            self._metrics = {}
        self._latest, self._told = progress, self._clock()
        self._metrics |= progress.metrics
        self.done, self.total = self._before + progress.step, self._before + progress.steps
        self.on_update()

    def line(self) -> str:
        """Two lines where there are statistics: how far and how fast it is, and what it learns."""
        now = self._latest
        if not now.stage:
            return "loading the base"
        parts = [f"{now.stage} {now.step:,}/{now.steps:,}" if now.steps else now.stage]
        if not self._metrics:
            return f"{parts[0]} · loading, and what is computed ahead"
        left = (now.seconds_left or 0.0) - (self._clock() - self._told)
        if now.step < now.steps and left > 0:
            parts.append(f"{duration(left)} left")
        if now.tokens_per_second is not None:
            parts.append(f"{now.tokens_per_second:,.0f} tokens/s")
        if now.peak_memory is not None:
            parts.append(f"{size(now.peak_memory)} peak")
        statistics = [f"rate {self._metrics[RATE]:.1e}"] if RATE in self._metrics else []
        statistics += [
            f"{said} {self._metrics[name]:.3f}" for name, said in STATISTICS.items() if name in self._metrics
        ]
        return "\n".join(" · ".join(each) for each in (parts, statistics) if each)


@contextmanager
def training_shown(clock: Callable[[], float] = time.monotonic) -> Iterator[Callable[[TrainingProgress], None]]:
    line = TrainingLine(clock)
    with shown(line, clock=clock):
        yield line.update


def _nothing() -> None:
    """A live line refreshes itself."""
