"""What is in a cache, told apart: what can be read, what another key signed, what is damaged."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from collab_sdk.cache.record import Row


class Unreadable(Enum):
    """Why a record cannot be read."""

    FOREIGN = "signed with another key"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheStats:
    where: str
    """A directory, or a URL without its password."""
    records: int
    bytes: int
    quarantined: int = 0
    """Records that were moved aside as unreadable, and are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """Records that a walk over a cache came by."""

    matching: int = 0
    """Readable, and asked for."""
    others: int = 0
    """Readable, and not asked for."""
    foreign: int = 0
    """Signed with another key than this process has."""
    damaged: int = 0
    aside: int = 0
    """Moved aside as unreadable earlier."""

    @property
    def readable(self) -> int:
        return self.matching + self.others

    @property
    def unreadable(self) -> int:
        return self.foreign + self.damaged


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """What became of rows that were to be added to a cache."""

    rows: int = 0
    """How many are new there."""
    too_large: Mapping[str, int] = field(default_factory=dict)
    """Bytes of those that it cannot hold, by key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """What became of the rows of one cache that were to be copied into another."""

    read: int = 0
    added: int = 0
    unreadable: int = 0
    too_large: Mapping[str, int] = field(default_factory=dict)
    """Bytes of those that the other cannot hold, by key."""


class Walk:
    """Counts the records of a cache, and picks those that are wanted and the unreadable ones of the kinds `also`."""

    def __init__(self, is_wanted: Callable[[Row], bool], also: Collection[Unreadable] = ()) -> None:
        self._is_wanted = is_wanted
        self._also = also
        self._counts: Counter[bool | Unreadable] = Counter()

    def pick(self, records: Mapping[str, Row | Unreadable]) -> list[str]:
        """Count some records; the keys of those that are picked."""
        found = {key: row if isinstance(row, Unreadable) else self._is_wanted(row) for key, row in records.items()}
        self._counts.update(found.values())
        return [key for key, kind in found.items() if kind is True or kind in self._also]

    @property
    def contents(self) -> Contents:
        return Contents(
            matching=self._counts[True],
            others=self._counts[False],
            foreign=self._counts[Unreadable.FOREIGN],
            damaged=self._counts[Unreadable.DAMAGED],
        )
