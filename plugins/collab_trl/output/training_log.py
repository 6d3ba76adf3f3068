"""A trainer's log lines as figures people know."""

from collections.abc import Mapping, Sequence

Log = Mapping[str, float]

NAMES = {
    "loss": "eval_loss",
    "reward_accuracy": "eval_rewards/accuracies",
    "reward_margin": "eval_rewards/margins",
    "chosen_logp": "eval_logps/chosen",
    "rejected_logp": "eval_logps/rejected",
    "token_accuracy": "eval_mean_token_accuracy",
}
RELATIVE = {"reward_accuracy", "reward_margin"}
"""Measured against the model as it was before training, so they say nothing about that one."""


def held_out_figures(history: Sequence[Log], *, kept: int) -> dict[str, dict[str, float]]:
    """Before the first step, and at the step that was kept; empty without held-out examples."""
    looks = [log for log in history if "eval_loss" in log]
    if not looks:
        return {}
    before = next((log for log in looks if log["step"] == 0), {})
    after = next((log for log in reversed(looks) if log["step"] == kept), looks[-1])
    return {
        "before": {name: value for name, value in _named(before).items() if name not in RELATIVE},
        "after": _named(after),
    }


def _named(log: Log) -> dict[str, float]:
    return {name: float(log[key]) for name, key in NAMES.items() if key in log}


def series(history: Sequence[Log], key: str) -> tuple[list[float], list[float]]:
    """Steps and values of one of the trainer's figures."""
    found = [(float(log["step"]), float(log[key])) for log in history if log.get(key) is not None]
    return [step for step, _ in found], [value for _, value in found]
