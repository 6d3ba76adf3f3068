"""Steps of the optimizer that are the same whatever number of their examples, and of processes, is computed at once."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler


class Part(NamedTuple):
    """Places of examples that a process computes at once; where they do not count, another process had one more."""

    places: tuple[int, ...]
    counts: bool = True
    counting: float = 1.0
    """The share of processes in which they count."""


class Steps(Sampler[list[Part]]):
    """What one process computes of each step, in an order that is the same for every size and number of parts.

    A step takes `batch` examples over all processes, the last one of an epoch those that are left. Every process has
    as many parts, and as many examples in each, as the others: what cannot be dealt out evenly is computed singly.
    """

    def __init__(self, order: Any, *, batch: int, at_once: int, process: int = 0, processes: int = 1) -> None:
        self._order = order
        self._batch = batch
        self._at_once = at_once
        self._process = process
        self._processes = processes

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch)

    def __iter__(self) -> Iterator[list[Part]]:
        order = list(self._order)
        for start in range(0, len(order), self._batch):
            yield self._parts(order[start : start + self._batch])

    def _parts(self, step: Sequence[int]) -> list[Part]:
        share, rest = divmod(len(step), self._processes)
        own = step[self._process :: self._processes][:share]
        parts = [Part(tuple(own[first : first + self._at_once])) for first in range(0, share, self._at_once)]
        if rest:
            place = step[-rest + self._process % rest]
            parts.append(Part((place,), self._process < rest, rest / self._processes))
        return parts


class LoadedPart(NamedTuple):
    """A part as a trainer takes it: what the collator makes of its examples, and if they count."""

    inputs: Any
    examples: float
    """How many of them count, on average over all processes."""
    counts: bool


class Parts(Dataset[LoadedPart]):
    """Rows by parts of a step."""

    def __init__(self, rows: Any, collator: Any) -> None:
        self._rows = rows
        self._collator = collator

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: Part) -> LoadedPart:
        inputs = self._collator([self._rows[place] for place in part.places])
        return LoadedPart(inputs, len(part.places) * part.counting, part.counts)


def _as_they_are(parts: list[LoadedPart]) -> list[LoadedPart]:
    return parts


class WholeSteps:
    """Gives transformers a whole step as a batch, and computes it in parts, each weighed by its share of the step.

    transformers accumulates parts of one size and takes their mean, as if all were equal. Each has as many tokens as it
    happens to have, though, a batch is not always a multiple of what fits into memory, and the last step of an epoch is
    seldom full. The trainer's batch size is that of the step over all processes, with nothing accumulated.
    """

    args: Any
    accelerator: Any
    train_dataset: Any
    data_collator: Any

    def __init__(self, *, at_once: int, **settings: Any) -> None:
        self._at_once = at_once
        self._counts = True
        super().__init__(**settings)

    def get_train_dataloader(self) -> DataLoader[LoadedPart]:
        steps = Steps(
            self._get_train_sampler(self.train_dataset),  # type: ignore[attr-defined]
            batch=self.args.train_batch_size,
            at_once=self._at_once,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        parts = Parts(self.train_dataset, self.data_collator)
        return DataLoader(parts, batch_sampler=steps, collate_fn=_as_they_are)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Tensor]:
        """A step's parts, and what `sums` gives for all of them and all processes together."""
        (step,), _ = super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]
        sums = torch.stack([self.sums(part.inputs).to(device) * part.counts for part in step]).sum(0)
        whole: Tensor = self.accelerator.reduce(sums, "sum")
        return [step], whole

    def training_step(self, model: Any, inputs: list[LoadedPart], num_items_in_batch: Any = None) -> Tensor:
        """The loss of a step; between its parts, processes do not wait for each other's gradients."""
        logged = {name: len(values) for name, values in self.logged.items()}
        losses = []
        for number, part in enumerate(inputs, start=1):
            last = number == len(inputs)
            self._counts = part.counts
            self.accelerator.gradient_state._set_sync_gradients(last)
            with nullcontext() if last else self.accelerator.no_sync(model=model):
                losses.append(self.part_step(model, part.inputs, num_items_in_batch))
        self._log_means(logged, [part.examples for part in inputs])
        return torch.stack(losses).sum()

    def part_step(self, model: Any, inputs: Any, num_items_in_batch: Any) -> Tensor:
        """Adds a part's gradient, and gives what it adds to the loss of the step."""
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        return loss

    def sums(self, inputs: Any) -> Tensor:
        """What the mean of a part is taken over, and other sums that a step needs."""
        raise NotImplementedError

    @property
    def logged(self) -> dict[str, list[float]]:
        """Where TRL keeps what it will log: means over what was computed at once, by name."""
        found: dict[str, list[float]] = self._metrics["train"]  # type: ignore[attr-defined]
        return found

    def share(self, part: Tensor, whole: Tensor) -> float:
        """The weight of a mean over `part`, given that parts will be added up and processes averaged."""
        return float(part / whole) * self._counts * int(self.accelerator.num_processes)

    def _log_means(self, before: dict[str, int], examples: Sequence[float]) -> None:
        """Make one mean over a step of those of its parts; `before` is how many there were of each name."""
        for name, values in self.logged.items():
            first = before.get(name, 0)
            if len(values) - first == len(examples):
                total = sum(mean * size for mean, size in zip(values[first:], examples, strict=True))
                values[first:] = [total / sum(examples)]
