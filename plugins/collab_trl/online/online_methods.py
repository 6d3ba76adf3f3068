"""What differs between the methods that let the model talk while it is trained.

This module imports TRL, which takes seconds: it is imported when training starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trl import GRPOConfig, RLOOConfig
from trl.experimental.online_dpo import OnlineDPOConfig

from collab_sdk.training import Play, TrainingOptions
from collab_trl.online.ppo import EPOCHS, ProximalTrainer
from collab_trl.online.trainers import GroupTrainer, LeaveOneOutTrainer, OnlinePairTrainer
from collab_trl.stages import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineMethod:
    """`settings` are those of `config` that are the method's own, for replies of so many tokens."""

    trainer: Callable[..., Any]
    config: type
    settings: Callable[[TrainingOptions, Play, int], Settings]
    repeats: int = 1
    """Steps of the optimizer for each batch of replies."""


def _group(options: TrainingOptions, play: Play, reply_tokens: int) -> Settings:
    return {
        "beta": options.beta,
        "num_generations": play.rule.candidates,
        "temperature": play.scorer.rollout.settings.temperature,
        # Of the whole batch, not of a group: there it would make as much of a word more as of a wrong order.
        "scale_rewards": "batch",
    }


def _proximal(options: TrainingOptions, play: Play, reply_tokens: int) -> Settings:
    return {**_group(options, play, reply_tokens), "num_iterations": EPOCHS}


def _leave_one_out(options: TrainingOptions, play: Play, reply_tokens: int) -> Settings:
    return {
        "beta": options.beta,
        "num_generations": play.rule.candidates,
        "temperature": play.scorer.rollout.settings.temperature,
        "max_completion_length": reply_tokens,
    }


def _pair(options: TrainingOptions, play: Play, reply_tokens: int) -> Settings:
    return {"beta": options.beta, "max_length": UNLIMITED}  # histories that are too long were refused before


UNLIMITED = 2**31
METHODS: Mapping[str, OnlineMethod] = {
    "grpo": OnlineMethod(trainer=GroupTrainer, config=GRPOConfig, settings=_group),
    "ppo": OnlineMethod(trainer=ProximalTrainer, config=GRPOConfig, settings=_proximal, repeats=EPOCHS),
    "rloo": OnlineMethod(trainer=LeaveOneOutTrainer, config=RLOOConfig, settings=_leave_one_out),
    "online-dpo": OnlineMethod(trainer=OnlinePairTrainer, config=OnlineDPOConfig, settings=_pair),
}
