"""How a training is laid out on the device: precision, micro-batches, what is recomputed and what computed ahead."""

import os
from dataclasses import dataclass

from collab_sdk.errors import UsageError
from collab_sdk.training import PLAYING, TrainingOptions
from collab_trl.base import Base
from collab_trl.device_memory import available_bytes, held_bytes
from collab_trl.memory_estimate import Load, Width, estimates

CPU, MPS = "CPU", "Apple GPU"
USEFUL = 8
"""Examples at once above which a step becomes no faster, where they have USEFUL_TOKENS."""
USEFUL_TOKENS = 8192
HEADROOM = 0.85
"""Of what is free; the rest is for what no estimate sees: fragments, kernels' scratch space."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What follows from options, data and device."""

    device: str
    processes: int
    bf16: bool
    batch: int
    """Examples of a step of the optimizer, over all processes."""
    micro_batch: int
    """Most examples that a process computes at once."""
    checkpointing: bool
    precompute: bool
    """Whether the reference's log-probabilities are computed once, ahead of all epochs."""
    shared: bool
    """Whether the prompt of a pair is computed once for both of its replies."""
    widest: Width
    """Of the largest example."""
    available: int

    @property
    def precision(self) -> int:
        """Bytes of a frozen weight."""
        return 2 if self.bf16 else 4

    @property
    def share(self) -> int:
        """Examples of a step that each process computes; where the batch is no multiple, some compute one more."""
        return self.batch // self.processes

    @property
    def accumulation(self) -> int:
        """How often a process computes its micro-batch for a step; the last time may be for fewer examples."""
        return -(-self.share // self.micro_batch)

    @property
    def load(self) -> Load:
        return _load(self.widest, self.micro_batch, self.checkpointing)


def make_plan(
    options: TrainingOptions, base: Base, *, widest: Width, examples: int, shared: bool = False, together: int = 1
) -> Plan:
    """For `examples` of at most this width; `together` of them must be in one step.

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
    available = available_bytes() + held_bytes()
    batch = min(options.batch_size, examples)
    if together > 1:
        batch = _in_groups(options.batch_size, batch, together=together, processes=processes)
    micro_batch, checkpointing = _fit(
        options,
        base,
        widest=widest,
        share=max(1, batch // processes),
        bf16=bf16,
        available=available,
        whole=together > 1,
    )
    return Plan(
        device=torch.cuda.get_device_name() if gpus else MPS if torch.backends.mps.is_available() else CPU,
        processes=processes,
        bf16=bf16,
        batch=batch,
        micro_batch=micro_batch,
        checkpointing=checkpointing,
        precompute=(options.epochs or 1) > 1,
        shared=shared,
        widest=widest,
        available=available,
    )


def _in_groups(asked: int, batch: int, *, together: int, processes: int) -> int:
    """The batch, of which every process gets as many groups of `together` examples.

    Raises UsageError, with the nearest that could be dealt out, where the batch that was asked for could not.
    """
    least = together * processes
    if asked % least:
        near = sorted({max(least, asked // least * least), asked // least * least + least})
        raise UsageError(
            f"--batch-size {asked} cannot be dealt out to {processes} processes in groups of {together} replies: take "
            f"{' or '.join(map(str, near))}."
        )
    if batch < least:
        raise UsageError(
            f"There are {batch // together} histories, fewer than the {processes} processes that would each take one: "
            "launch fewer."
        )
    return batch // least * least


def is_main_process() -> bool:
    """Of those that accelerate has launched."""
    return os.environ.get("RANK", "0") == "0"


def _fit(
    options: TrainingOptions, base: Base, *, widest: Width, share: int, bf16: bool, available: int, whole: bool
) -> tuple[int, bool]:
    """The largest micro-batch that fits without recomputation, or else with it; `whole`: with nothing left over."""
    most = options.per_device_batch_size or max(USEFUL, USEFUL_TOKENS // widest.tokens)
    sizes = [size for size in range(min(most, share), 0, -1) if not (whole and share % size)]
    if options.per_device_batch_size:  # asked for, and not the most that fits
        sizes = sizes[:1]
    ways = [False, True] if options.gradient_checkpointing is None else [options.gradient_checkpointing]
    for checkpointing in ways:
        for size in sizes:
            load = _load(widest, size, checkpointing)
            _, lora, qlora = estimates(base, rank=options.lora_r, load=load, precision=2 if bf16 else 4)
            needed = (qlora if options.load_in_4bit else lora).total
            if needed <= available * HEADROOM:
                return size if options.per_device_batch_size else _level(size, share), checkpointing
    return sizes[-1], ways[-1]


def _load(widest: Width, size: int, checkpointing: bool) -> Load:
    import torch

    return Load(width=widest.times(size), checkpointing=checkpointing, gpu=torch.cuda.is_available())


def _level(size: int, share: int) -> int:
    """The least size that needs no more micro-batches than `size` does: of 9 examples 5 and 4, rather than 8 and 1."""
    return -(-share // -(-share // size))


def _layers(options: TrainingOptions) -> str:
    return ", ".join(sorted(options.target_modules)) or "all linear layers"


def described(options: TrainingOptions, plan: Plan) -> dict[str, str]:
    """How it will be trained, in words, by setting."""
    loss = " + ".join(f"{weight:g} {name}" for name, weight in options.loss)
    return {
        "method": ("sft, then " if options.sft_first else "") + options.method,
        **({"loss": f"{loss}, beta {options.beta:g}"} if options.method == "dpo" else {}),
        **({"beta": f"{options.beta:g}"} if options.method in PLAYING else {}),
        "adapter": f"LoRA, rank {options.lora_r}, alpha {options.lora_alpha}, {_layers(options)}",
        "batch": _batch_said(options, plan),
        "precision": "4-bit base" if options.load_in_4bit else options.dtype,
        "recomputed": "activations (slower, smaller)" if plan.checkpointing else "nothing",
        **({"prompts": "computed once for both replies"} if plan.shared else {}),
    }


def _batch_said(options: TrainingOptions, plan: Plan) -> str:
    """Such as `12 = 1 x 4 at once x 3 accumulated`."""
    full, last = divmod(plan.share, plan.micro_batch)
    parts = [f"{plan.processes} x {plan.micro_batch} at once x {full} accumulated"] if full else []
    parts += [f"{plan.processes} x {last} at once"] if last else []
    parts += [f"{plan.batch % plan.processes} more"] if plan.batch % plan.processes else []
    said = f"{plan.batch} = {' + '.join(parts)}"
    return said if plan.batch == options.batch_size else f"{said}; {options.batch_size} were asked for"
