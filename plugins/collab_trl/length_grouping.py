"""Batches of examples of about one length, so that little is spent on padding."""

import random
from collections.abc import Callable, Iterator, Sequence

from torch.utils.data import Sampler

POOL = 50
"""Batches drawn at random that are sorted by length together: enough to pack well, few enough to stay random."""


class LengthGroupedSampler(Sampler[int]):
    """Positions in an order that keeps like lengths together, another one every epoch.

    transformers' own goes from long to short over and over, which shows in the loss; here the batches are shuffled
    again. The order depends on nothing but seed and epoch, so a resumed run goes through the same batches.
    """

    def __init__(self, lengths: Sequence[int], *, batch: int, seed: int, epoch: Callable[[], int]) -> None:
        self._lengths = lengths
        self._batch = batch
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(grouped(self._lengths, batch=self._batch, seed=f"{self._seed}/{self._epoch()}"))


def grouped(lengths: Sequence[int], *, batch: int, seed: str) -> list[int]:
    rng = random.Random(seed)  # noqa: S311
    order = rng.sample(range(len(lengths)), len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), POOL * batch):
        pool = sorted(order[start : start + POOL * batch], key=lambda position: lengths[position])
        batches += [pool[first : first + batch] for first in range(0, len(pool), batch)]
    rest = [short for short in batches if len(short) < batch]
    full = [full for full in batches if len(full) == batch]
    rng.shuffle(full)
    return [position for chosen in full + rest for position in chosen]
