"""The device that models run on, and the precision in which they run there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

AUTO = "auto"
DTYPES = (AUTO, "float32", "bfloat16", "float16")
"""What can be asked for; `auto` is the fastest precision of the device in which models keep their quality."""


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX): 4 to 5 times as fast as float32."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def device_and_dtype(dtype: str = AUTO) -> "tuple[str, torch.dtype]":
    """The best device there is, and `dtype`, one of DTYPES, as PyTorch's."""
    import torch

    if torch.cuda.is_available():
        device, own = "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    elif torch.backends.mps.is_available():
        device, own = "mps", torch.bfloat16
    else:
        device, own = "cpu", torch.bfloat16 if cpu_multiplies_bf16() else torch.float32
    return device, own if dtype == AUTO else getattr(torch, dtype)
