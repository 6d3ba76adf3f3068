"""The methods, and what they take where nothing is chosen. What they do is in the rooms, whose modules import TRL."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from collab_sdk.errors import UnknownNameError
from collab_sdk.training import PLAYING, TrainingOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Default:
    """What a method takes."""

    learning_rate: float
    beta: float


DEFAULTS: Mapping[str, Default] = {
    # A tenth of what LoRA takes in SFT: DPO's gradient does not vanish on what the model can do already, and ten times
    # TRL's own 1e-6, which is meant for all weights.
    "dpo": Default(learning_rate=1e-5, beta=0.1),
    "sft": Default(learning_rate=1e-4, beta=0.1),
    "kto": Default(learning_rate=1e-5, beta=0.1),
    "grpo": Default(learning_rate=1e-5, beta=0.04),
    "online-dpo": Default(learning_rate=1e-5, beta=0.1),
    "rloo": Default(learning_rate=1e-5, beta=0.05),
    "ppo": Default(learning_rate=1e-5, beta=0.05),
}


def counts_replies(method: str) -> bool:
    """Whether a batch is so many replies, all those to a history together, and not so many histories."""
    return method in PLAYING and method != "online-dpo"


def with_defaults(options: TrainingOptions) -> TrainingOptions:
    """Raises UnknownNameError for a method nobody knows."""
    if options.method not in DEFAULTS:
        raise UnknownNameError.of("method", options.method, DEFAULTS)
    default = DEFAULTS[options.method]
    return replace(
        options,
        learning_rate=default.learning_rate if options.learning_rate is None else options.learning_rate,
        beta=default.beta if options.beta is None else options.beta,
    )
