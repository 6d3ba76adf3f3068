"""How much memory a way to train needs, estimated from the model's shape."""

from dataclasses import dataclass

from collab_sdk.training import Memory
from collab_trl.base import Base

ADAM = 16
"""Bytes for a trained parameter: fp32 weight, gradient and Adam's two moments."""
FULL = 18
"""Bytes for a parameter of a whole model in mixed precision: bf16 beside the same."""
FOUR_BIT = 0.56
"""Bytes for a quantised parameter, with its scales."""
NORMS = 20
"""Bytes that a layer's two norms keep for each feature: each two in fp32 and one in bf16."""
HEAD_CHUNK = 1024
"""Positions whose logits are held at once, in fp32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What is in memory at once: tokens of a micro-batch, and whether activations are recomputed."""

    tokens: int
    checkpointing: bool


def estimates(base: Base, *, rank: int, load: Load, precision: int) -> tuple[Memory, Memory, Memory]:
    """For full training, LoRA and QLoRA; `precision` is the bytes of a weight."""
    lora = base.trainable(rank) * ADAM
    activations = activation_bytes(base, load, precision)
    return (
        Memory(way="full", weights=base.parameters * precision, training=base.parameters * FULL + activations),
        Memory(way="LoRA", weights=base.parameters * precision, training=lora + activations),
        Memory(way="QLoRA", weights=quantised_bytes(base), training=lora + activations),
    )


def quantised_bytes(base: Base) -> int:
    """The linear layers in 4 bits, the rest in 16."""
    linear = sum(inputs * outputs for _, inputs, outputs in base.linear)
    return int(linear * FOUR_BIT) + (base.parameters - linear) * 2


def activation_bytes(base: Base, load: Load, precision: int) -> int:
    """Kept for the backward pass: without recomputation every linear layer's input and output, and the two norms.

    With it, one hidden state a layer, and the whole of the one layer that is being recomputed.
    """
    config = base.config.get_text_config()
    hidden, layers = config.hidden_size, max(1, config.num_hidden_layers)
    linear = sum(inputs + outputs for _, inputs, outputs in base.linear) / layers
    layer = precision * linear + NORMS * hidden
    kept = layers * precision * hidden + layer if load.checkpointing else layers * layer
    return int(load.tokens * kept) + HEAD_CHUNK * int(config.vocab_size) * 4 * 2
