"""How a training is laid out on the device: precision, micro-batches, what is recomputed and what computed ahead."""

import os
from dataclasses import dataclass

from collab_sdk.errors import UsageError
from collab_sdk.training import PLAYING, TrainingOptions
from collab_trl.base import Base
from collab_trl.device_memory import available_bytes
from collab_trl.memory_estimate import Load, estimates

CPU, MPS = "CPU", "Apple GPU"
MICRO_BATCHES = (8, 4, 2, 1)
HEADROOM = 0.85
"""Of what is free; the rest is for what no estimate sees: fragments, kernels' scratch space."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What follows from options, data and device."""

    device: str
    processes: int
    bf16: bool
    micro_batch: int
    accumulation: int
    checkpointing: bool
    precompute: bool
    """Whether the reference's log-probabilities are computed once, ahead of all epochs."""
    shared: bool
    """Whether the prompt of a pair is computed once for both of its replies."""
    widest: int
    """Tokens that the largest example puts through the model."""
    available: int

    @property
    def precision(self) -> int:
        """Bytes of a frozen weight."""
        return 2 if self.bf16 else 4

    @property
    def load(self) -> Load:
        return Load(tokens=self.micro_batch * self.widest, checkpointing=self.checkpointing)


def make_plan(
    options: TrainingOptions, base: Base, *, widest: int, examples: int, shared: bool = False, together: int = 1
) -> Plan:
    """For `examples` of at most `widest` tokens; `together` of them must be in one step.

    Raises UsageError for GPUs that nobody has launched.
    """
    import torch

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count()
    if gpus > 1 and "LOCAL_RANK" not in os.environ:
        raise UsageError(
            f"{gpus} GPUs are visible, but one process was launched: start it as accelerate launch --num_processes "
            f"{gpus} -m collab_cli.main finetune ..., or choose one with CUDA_VISIBLE_DEVICES=0."
        )
    bf16 = options.dtype == "bfloat16"
    available = available_bytes()
    share = max(1, min(options.batch_size, examples) // processes // together * together)
    micro_batch, checkpointing = _fit(
        options, base, widest=widest, share=share, bf16=bf16, available=available, whole=together > 1
    )
    return Plan(
        device=torch.cuda.get_device_name() if gpus else MPS if torch.backends.mps.is_available() else CPU,
        processes=processes,
        bf16=bf16,
        micro_batch=micro_batch,
        accumulation=max(1, share // micro_batch),
        checkpointing=checkpointing,
        precompute=(options.epochs or 1) > 1,
        shared=shared,
        widest=widest,
        available=available,
    )


def least_micro_batch(method: str) -> int:
    return 2 if method == "kto" else 1  # KTO sets each reply against another one's prompt


def is_main_process() -> bool:
    """Of those that accelerate has launched."""
    return os.environ.get("RANK", "0") == "0"


def _fit(
    options: TrainingOptions, base: Base, *, widest: int, share: int, bf16: bool, available: int, whole: bool
) -> tuple[int, bool]:
    """The largest micro-batch that fits without recomputation, or else with it; `whole`: with nothing left over."""
    least = least_micro_batch(options.method)
    sizes = [size for size in MICRO_BATCHES if least <= size <= share and not (whole and share % size)]
    if options.per_device_batch_size:
        sizes = [options.per_device_batch_size]
        if whole:  # or the next smaller one that leaves nothing over
            sizes = [next(size for size in range(min(options.per_device_batch_size, share), 0, -1) if not share % size)]
    sizes = sizes or [least]
    ways = [False, True] if options.gradient_checkpointing is None else [options.gradient_checkpointing]
    for checkpointing in ways:
        for size in sizes:
            load = Load(tokens=size * widest, checkpointing=checkpointing)
            _, lora, qlora = estimates(base, rank=options.lora_r, load=load, precision=2 if bf16 else 4)
            needed = (qlora if options.load_in_4bit else lora).total
            if needed <= available * HEADROOM:
                return size, checkpointing
    return sizes[-1], ways[-1]


def described(options: TrainingOptions, plan: Plan) -> dict[str, str]:
    """How it will be trained, in words, by setting."""
    loss = " + ".join(f"{weight:g} {name}" for name, weight in options.loss)
    whole = plan.micro_batch * plan.accumulation * plan.processes
    return {
        "method": ("sft, then " if options.sft_first else "") + options.method,
        **({"loss": f"{loss}, beta {options.beta:g}"} if options.method == "dpo" else {}),
        **({"beta": f"{options.beta:g}"} if options.method in PLAYING else {}),
        "adapter": f"LoRA, rank {options.lora_r}, alpha {options.lora_alpha}, all linear layers",
        "batch": f"{whole} = {plan.processes} x {plan.micro_batch} at once x {plan.accumulation} accumulated",
        "precision": "4-bit base" if options.load_in_4bit else options.dtype,
        "recomputed": "activations (slower, smaller)" if plan.checkpointing else "nothing",
        **({"prompts": "computed once for both replies"} if plan.shared else {}),
    }
