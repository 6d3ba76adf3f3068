"""How much fits into memory, and whether it was too much."""

from typing import Any

import torch

from collab_trl.memory import available_bytes

SHARE = 0.5
"""Of the free memory that keys and values may fill; the rest is for activations and copies."""


def token_budget(model: Any) -> int:
    """Tokens, padding included, whose keys and values a batch of `model` may hold."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    bytes_per_token = 2 * config.num_hidden_layers * heads * head * model.dtype.itemsize
    return int(SHARE * available_bytes() / bytes_per_token)


def ran_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()  # the CPU's and Apple's allocators raise RuntimeError
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def free_memory() -> None:
    """Give back what the allocator keeps of a batch that failed."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
