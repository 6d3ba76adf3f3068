"""Conversations as a source of Ray Data: a stream that never lies anywhere as a whole."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow
import ray
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

PARCEL, OUTCOMES = "parcel", "outcomes"
"""The columns of what goes to the workers and of what comes from them; both hold JSON text."""


class ParcelSource(Datasource):  # type: ignore[misc]
    """What is handed in at a desk, one parcel a row.

    One task reads, in order. Ray starts it over when it dies, and believes that it will then read the same: it does,
    but for what is done already.
    """

    def __init__(self, desk: Any) -> None:
        super().__init__()
        self._desk = desk

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(partial(_read, self._desk), unknown)]


def _read(desk: Any) -> Iterator[pyarrow.Table]:
    number = 0
    while (parcel := ray.get(desk.take.remote(number))) is not None:
        yield pyarrow.table({PARCEL: [parcel]})
        number += 1
