"""The methods, and what they take where nothing is chosen. What they do is in the rooms, whose modules import TRL."""

import math
from collections.abc import Mapping
from dataclasses import replace

from collab_sdk.errors import UnknownNameError, UsageError
from collab_sdk.training import PLAYING, TrainingOptions
from collab_trl.precision import AUTO, cpu_multiplies_bf16

DTYPES = (AUTO, "bfloat16", "float32")


BETAS: Mapping[str, float] = {
    "dpo": 0.1,
    "sft": 0.1,
    "kto": 0.1,
    "grpo": 0.04,
    "online-dpo": 0.1,
    "rloo": 0.05,
    "ppo": 0.05,
}
"""How close a method stays to the base."""
PLAYED_RATE, PLAYED_EPOCHS = 1e-5, 3.0
"""Of methods that let the model talk; TRL's own rate is 1e-6, which is meant for all weights."""
RATE, MEASURED_WIDTH = 3e-4, 576
"""Measured with SmolLM2-135M: benchmarks/order_desk/real_model.py."""
FEW_STEPS, ENOUGH_STEPS, MOST_EPOCHS = 20, 25, 5
"""With fewer than FEW_STEPS a training has hardly begun."""


def default_rate(method: str, width: int) -> float:
    """The learning rate of a method for a model with that many features a token.

    For wider models it falls with the width, as the rate that suits Adam does (Yang et al. 2022, arXiv 2203.03466).
    """
    return PLAYED_RATE if method in PLAYING else RATE * min(1.0, MEASURED_WIDTH / width)


def enough_epochs(examples: int, batch_size: int) -> float:
    """Passes over the data for about ENOUGH_STEPS optimizer steps: one at least, and MOST_EPOCHS at most."""
    return float(min(max(1, round(ENOUGH_STEPS * batch_size / examples)), MOST_EPOCHS))


def steps_of_epoch(options: TrainingOptions, examples: int) -> int:
    """Batches that so many examples make; the last may be for fewer than the others."""
    return math.ceil(examples / options.batch_size)


def steps_of(options: TrainingOptions, examples: int, *, repeats: int = 1) -> int:
    """Optimizer steps of a training on so many examples, with `repeats` of them for each batch."""
    all_epochs = math.ceil(steps_of_epoch(options, examples) * repeats * (options.epochs or 1))
    return min(all_epochs, options.max_steps or all_epochs)


def counts_replies(method: str) -> bool:
    """Whether a batch is so many replies, all those to a history together, and not so many histories."""
    return method in PLAYING and method != "online-dpo"


def check_method(method: str) -> None:
    """Raises UnknownNameError for one that nobody knows."""
    if method not in BETAS:
        raise UnknownNameError.of("method", method, BETAS)


def with_defaults(options: TrainingOptions, *, width: int) -> TrainingOptions:
    """For a base with so many features a token; how many epochs, the data decide where nothing is chosen.

    Raises UnknownNameError for a precision nobody knows, UsageError for one that the GPU does not have.
    """
    plays = options.method in PLAYING
    rate = default_rate(options.method, width)
    return replace(
        options,
        epochs=PLAYED_EPOCHS if options.epochs is None and plays else options.epochs,
        learning_rate=options.learning_rate or rate,
        sft_learning_rate=options.sft_learning_rate or options.learning_rate or rate,
        beta=BETAS[options.method] if options.beta is None else options.beta,
        dtype=_dtype(options.dtype),
    )


def rates_of(options: TrainingOptions) -> dict[str, float]:
    """The learning rate of each stage, in their order; of options with their defaults."""
    named = {"sft": options.sft_learning_rate} if options.sft_first else {}
    named[options.method] = options.learning_rate
    return {name: rate for name, rate in named.items() if rate is not None}


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
