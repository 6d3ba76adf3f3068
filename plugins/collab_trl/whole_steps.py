"""Steps of the optimizer that are the same however many of their examples are computed at once."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler


class WholeSteps:
    """Weighs what is computed at once by its share of the step, so that all of it adds up to the loss of the step.

    transformers takes the mean of the micro-batches, as if all were equal. Each has as many tokens as it happens to
    have, though, and the last one of an epoch fewer examples.
    """

    accelerator: Any
    current_gradient_accumulation_steps: int

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Tensor]:
        """The micro-batches of a step, and what `sums` gives for all of them and all processes together."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]
        sums = torch.stack([self.sums(batch).to(device) for batch in batches]).sum(0)
        together: Tensor = self.accelerator.reduce(sums, "sum")
        return batches, together

    def sums(self, inputs: Any) -> Tensor:
        """What the mean of a micro-batch is taken over, and other sums that a step needs."""
        raise NotImplementedError

    def share(self, part: Tensor, whole: Tensor) -> float:
        """The weight of a mean over `part`, given that micro-batches and processes will be averaged."""
        return float(part / whole) * self.current_gradient_accumulation_steps * int(self.accelerator.num_processes)


class FullSteps(Sampler[int]):
    """The order of another sampler, and its beginning once more until the last step is full."""

    def __init__(self, sampler: Any, *, step: int) -> None:
        self._sampler = sampler
        self._step = step

    def __len__(self) -> int:
        return -(-len(self._sampler) // self._step) * self._step

    def __iter__(self) -> Iterator[int]:
        order = list(self._sampler)
        return (order[place % len(order)] for place in range(len(self)))
