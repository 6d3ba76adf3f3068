"""Loading the base and putting an adapter on it."""

from pathlib import Path
from typing import Any

from collab_sdk.errors import MissingExtraError, UsageError
from collab_sdk.training import TrainingOptions
from collab_trl.base import Base
from collab_trl.plan import Plan
from collab_trl.pretrained import read_adapter, read_model


def adapted(base: Base, options: TrainingOptions, plan: Plan, *, adapter: Path | None) -> Any:
    """The base with a fresh adapter, or with one that an earlier stage has trained, which goes on being trained."""
    from peft import get_peft_model
    from transformers import set_seed

    model = load(base, plan, in_4bit=options.load_in_4bit)
    _without_dropout(model)
    if adapter is not None:
        return read_adapter(model, adapter, trainable=True)
    set_seed(options.seed)  # the adapter's first matrices are random
    return get_peft_model(model, lora(base, options))


def _without_dropout(model: Any) -> None:
    """So that policy and reference differ by the adapter alone."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def lora(base: Base, options: TrainingOptions) -> Any:
    """PEFT's configuration of a fresh adapter."""
    from peft import LoraConfig

    config = LoraConfig(
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=sorted(options.target_modules) or base.targets,
        task_type="CAUSAL_LM",
    )
    config.base_model_name_or_path = base.name
    return config


def load(base: Base, plan: Plan, *, in_4bit: bool = False) -> Any:
    import torch

    settings: dict[str, Any] = {"dtype": torch.bfloat16 if plan.bf16 else torch.float32}
    if in_4bit:
        settings |= {"quantization_config": _four_bit(), "device_map": {"": torch.cuda.current_device()}}
    model = read_model(base.name, **settings)
    model.config.use_cache = False
    return model


def check_4bit() -> None:
    """Raises UsageError or MissingExtraError where a base cannot be loaded in 4 bits."""
    import importlib.util

    import torch

    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError("--load-in-4bit needs bitsandbytes: pip install bitsandbytes")
    if not torch.cuda.is_available():
        raise UsageError("--load-in-4bit needs a GPU, and none is visible: leave it out.")


def _four_bit() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
