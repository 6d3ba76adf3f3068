"""How much memory a way to train needs, estimated from the model's shape and from what the libraries keep of it.

`python benchmarks/memory.py` measures the same.
"""

from dataclasses import dataclass

from collab_sdk.training import Memory
from collab_trl.base import Base

ADAM = 16
"""Bytes for a trained parameter: fp32 weight, gradient and Adam's two moments."""
FULL = 18
"""Bytes for a parameter of a whole model in mixed precision: bf16 beside the same."""
FOUR_BIT = 0.56
"""Bytes for a quantised parameter, with its scales."""
NORMS = 8
"""Bytes that a layer's two norms keep for each feature: its input in fp32."""
BACKWARD = 6
"""Gradients of its widest features that a layer has at once."""
HEAD_POSITIONS, HEAD_WORDS = 4096, 32_768
"""TRL's head computes logits of so many positions and words of the vocabulary at once."""
HEAD_COPIES = 29
"""Bytes for each of these logits while TRL computes their gradient in PyTorch; its GPU kernel works in place."""
LIBRARIES = 700_000_000
"""Python with PyTorch, transformers, TRL and what they load, in a process that has trained something tiny on a CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Width:
    """What an example puts through the model."""

    tokens: int
    """Through the layers."""
    positions: int
    """Through the language model head."""
    masked: int
    """Elements of the attention masks: the square of each row's length, as padded rows need one."""

    def times(self, examples: int) -> "Width":
        return Width(tokens=self.tokens * examples, positions=self.positions * examples, masked=self.masked * examples)


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What is in memory at once: the width of a micro-batch, and whether activations are recomputed."""

    width: Width
    checkpointing: bool
    gpu: bool
    """Whether TRL's kernel computes the head."""


def estimates(base: Base, *, rank: int, load: Load, precision: int) -> tuple[Memory, Memory, Memory]:
    """For full training, LoRA and QLoRA; `precision` is the bytes of a weight."""
    adapter = base.trainable(rank)
    lora = adapter * (ADAM + (precision if precision < 4 else 0))  # autocast multiplies by a copy
    rest = activation_bytes(base, load, precision, rank=rank) + (0 if load.gpu else LIBRARIES)
    return (
        Memory(way="full", weights=base.parameters * precision, training=base.parameters * FULL + rest),
        Memory(way="LoRA", weights=base.parameters * precision, training=lora + rest),
        Memory(way="QLoRA", weights=quantised_bytes(base), training=lora + rest),
    )


def quantised_bytes(base: Base) -> int:
    """The linear layers in 4 bits, the rest in 16."""
    linear = sum(inputs * outputs for _, inputs, outputs in base.linear)
    return int(linear * FOUR_BIT) + (base.parameters - linear) * 2


def activation_bytes(base: Base, load: Load, precision: int, *, rank: int) -> int:
    """At the beginning of the backward pass, when all that it needs is kept and the head or the last layer is computed.

    A layer keeps what its linear layers give, what goes into the adapter's matrices and comes out of the first of each,
    the activation of its widest features, its masks, and its norms' inputs. With recomputation only the last layer's is
    kept, and of each layer its input.
    """
    config = base.config.get_text_config()
    hidden, layers = config.hidden_size, max(1, config.num_hidden_layers)
    widest = max(inputs for _, inputs, _ in base.linear)
    outputs = sum(outputs for _, _, outputs in base.linear) / layers
    adapters = len(base.linear) / layers * rank
    token = precision * (outputs + 2 * widest + hidden + adapters) + NORMS * hidden
    layer = load.width.tokens * token + load.width.masked * precision
    kept = load.width.tokens * layers * precision * hidden + layer if load.checkpointing else layers * layer
    going_back = load.width.tokens * BACKWARD * widest * precision
    return int(kept + max(going_back, head_bytes(base, load, precision)))


def head_bytes(base: Base, load: Load, precision: int) -> int:
    """Hidden states and their gradient, and the logits of as many positions and words as TRL takes at once."""
    config = base.config.get_text_config()
    positions, words = min(load.width.positions, HEAD_POSITIONS), min(int(config.vocab_size), HEAD_WORDS)
    states = load.width.positions * int(config.hidden_size) * (2 * precision + 4)
    logits = positions * words
    if load.gpu:
        return states + logits * precision
    # The gradient is multiplied by the head in fp32, when the copies are gone.
    multiplied = 0 if precision == 4 else 4 * (logits + words * int(config.hidden_size))
    return states + logits * precision + max(logits * HEAD_COPIES, multiplied)
