"""How large the update is that an adapter has learnt."""

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def relative_update(model: Any) -> float | None:
    """The Frobenius norm of all that the active LoRA adapter adds, over that of the layers it is added to.

    None where the layers are quantised, as their numbers are not what they stand for. The product of the two LoRA
    matrices is never formed: |BA|^2 is the trace of (B'B)(AA').
    """
    added, base = 0.0, 0.0
    for layer in _adapted_layers(model):
        weight = layer.get_base_layer().weight
        if not weight.is_floating_point():
            return None
        name = layer.active_adapters[0]
        down, up = layer.lora_A[name].weight.float(), layer.lora_B[name].weight.float()
        added += float(layer.scaling[name] ** 2 * (_gram(up.T) * _gram(down)).sum())
        base += float(weight.float().square().sum())
    return (added / base) ** 0.5 if base else None


def _gram(rows: Tensor) -> Tensor:
    return rows @ rows.T


def _adapted_layers(model: Any) -> list[Any]:
    return [module for module in model.modules() if hasattr(module, "lora_A") and hasattr(module, "get_base_layer")]
