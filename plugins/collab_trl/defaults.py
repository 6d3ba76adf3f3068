"""The methods, and what they take where nothing is chosen. What they do is in the rooms, whose modules import TRL."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from collab_sdk.errors import UnknownNameError, UsageError
from collab_sdk.training import PLAYING, TrainingOptions
from collab_trl.precision import AUTO, cpu_multiplies_bf16

DTYPES = (AUTO, "bfloat16", "float32")


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


PLAYED_EPOCHS = 3.0
"""Of methods that let the model talk."""
ENOUGH_STEPS, MOST_EPOCHS = 60, 6


def enough_epochs(examples: int, batch_size: int) -> float:
    """Passes over the data for ENOUGH_STEPS optimizer steps: one at least, and MOST_EPOCHS at most."""
    return float(min(max(1, math.ceil(ENOUGH_STEPS * batch_size / examples)), MOST_EPOCHS))


def counts_replies(method: str) -> bool:
    """Whether a batch is so many replies, all those to a history together, and not so many histories."""
    return method in PLAYING and method != "online-dpo"


def with_defaults(options: TrainingOptions) -> TrainingOptions:
    """Raises UnknownNameError for a method or precision nobody knows, UsageError for one that the GPU does not have."""
    if options.method not in DEFAULTS:
        raise UnknownNameError.of("method", options.method, DEFAULTS)
    default = DEFAULTS[options.method]
    return replace(
        options,
        epochs=PLAYED_EPOCHS if options.epochs is None and options.method in PLAYING else options.epochs,
        learning_rate=default.learning_rate if options.learning_rate is None else options.learning_rate,
        beta=default.beta if options.beta is None else options.beta,
        dtype=_dtype(options.dtype),
    )


def _dtype(asked: str) -> str:
    import torch

    if asked not in DTYPES:
        raise UnknownNameError.of("dtype", asked, DTYPES)
    gpu = torch.cuda.is_available()
    if gpu and asked == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise UsageError("--dtype bfloat16 needs a GPU that has it, and this one does not: leave it out.")
    if asked != AUTO:
        return asked
    faster = torch.cuda.is_bf16_supported() if gpu else not torch.backends.mps.is_available() and cpu_multiplies_bf16()
    return "bfloat16" if faster else "float32"
