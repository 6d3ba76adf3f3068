"""Preference formats: a pair of responses as rows of a training file. A new one is a function, and a `Writer` here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from collab_sdk.errors import UnknownNameError
from collab_sdk.logs.writers.llama_factory_rows import DATASET_INFO, dataset_info, llama_factory_rows
from collab_sdk.logs.writers.trainer_rows import (
    axolotl_rows,
    kto_rows,
    sft_rows,
    trl_implicit_rows,
    trl_rows,
    ultrafeedback_rows,
)
from collab_sdk.logs.writers.tuning_rows import openai_rows
from collab_sdk.types import PreferencePair

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """A preference format: the rows of a pair, and what its consumer wants besides."""

    rows: Callable[[PreferencePair], Sequence[Row]]
    min_rows: int = 0
    """Fewer than that are refused by those who train on the file."""
    catalogue: str | None = None
    """The name of a JSON file in the same folder that has an entry for each data file."""
    entry: Callable[[str], Mapping[str, Any]] | None = None
    """That entry, from the name of the file."""


WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "trl": Writer(rows=trl_rows),
        "trl-implicit": Writer(rows=trl_implicit_rows),
        "kto": Writer(rows=kto_rows),
        "sft": Writer(rows=sft_rows),
        "openai": Writer(rows=openai_rows),
        "fireworks": Writer(rows=openai_rows, min_rows=3),
        "axolotl": Writer(rows=axolotl_rows),
        "llama-factory": Writer(rows=llama_factory_rows, catalogue=DATASET_INFO, entry=dataset_info),
        "ultrafeedback": Writer(rows=ultrafeedback_rows),
    }
)
"""By format. Rows that TRL reads say where they come from; the others are strict and have no room for it."""


def get_writer(name: str) -> Writer:
    """The writer of a format. Raises UnknownNameError listing the formats."""
    if name not in WRITERS:
        raise UnknownNameError.of("format", name, WRITERS)
    return WRITERS[name]
