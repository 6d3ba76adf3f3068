"""What is watched while a training runs: its progress, held-out figures, and the likelihood of what was chosen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback

from collab_sdk.training import TrainingProgress
from collab_trl.methods import Method

FALL = 1.0
"""Nats that a chosen reply may become less likely on average before it is worth a warning."""
Log = Mapping[str, float]


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Passes on every log line."""

    def __init__(self, stage: str, on_progress: Callable[[TrainingProgress], None]) -> None:
        self._stage = stage
        self._on_progress = on_progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Log | None = None, **_: Any) -> None:
        if state.is_world_process_zero and logs:
            numbers = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
            self._on_progress(
                TrainingProgress(stage=self._stage, step=state.global_step, steps=state.max_steps, metrics=numbers)
            )


class EarlyStop(TrainerCallback):  # type: ignore[misc]
    """Ends a training whose held-out figure has stayed below its best for `patience` looks.

    Staying level at the best is no reason to stop: accuracy is soon full, while margins still grow.
    """

    def __init__(self, method: Method, patience: int) -> None:
        self._method = method
        self._patience = patience

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True  # transformers saves the last step, but looks at it only by chance

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        best, since = standing(state.log_history, self._method)
        # The best checkpoint is kept when older ones are deleted.
        state.best_model_checkpoint = f"{args.output_dir}/checkpoint-{best}"
        if self._patience and since >= self._patience:
            control.should_training_stop = True


def standing(history: Sequence[Log], method: Method) -> tuple[int, int]:
    """The step of the best held-out figure, the later one of equals, and how many looks there were since.

    What was seen before the first step is left out: rewards are all zero then.
    """
    looks = [(log["step"], log[method.metric]) for log in history if method.metric in log and log["step"]]
    best_step, best, since = 0, None, 0
    for step, figure in looks:
        worth = -figure if method.falling else figure
        if best is None or worth >= best:
            best_step, best, since = int(step), worth, 0
        else:
            since += 1
    return best_step, since


def chosen_fall(history: Sequence[Log], *, beta: float) -> str | None:
    """A warning if chosen replies became less likely than they were: DPO then only pushes rejected ones down faster.

    A reward is beta times what the log-probability has gained. On held-out examples the last look counts, where there
    are none the mean of the last tenth of all batches.
    """
    held_out = [log["eval_rewards/chosen"] for log in history if "eval_rewards/chosen" in log]
    batches = [log["rewards/chosen"] for log in history if "rewards/chosen" in log]
    last = held_out[-1:] or batches[-max(1, len(batches) // 10) :]
    if not last or (fall := -sum(last) / len(last) / beta) <= FALL:
        return None
    return (
        f"Chosen replies became less likely, by {fall:.1f} nats on average: the model unlearns them while it unlearns "
        "the rejected ones faster, and its own replies may degenerate. Give the SFT term more weight (--loss sigmoid=1 "
        "--loss sft=2), or take a larger --beta or a smaller --learning-rate."
    )
