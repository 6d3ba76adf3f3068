"""Which rows of a task are played: so many of them, in the file's order or shuffled, of each kind equally many."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

from collab_sdk.errors import UsageError
from collab_sdk.tasks.base import Task
from collab_sdk.types import Conversation


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which rows of a task are taken. Without a `limit` all are, but for the first `skip`."""

    limit: int | None = None
    skip: int = 0
    """So many are left out, such as those that were evaluated: same `shuffle` and `seed`, other rows."""
    shuffle: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.skip < 0 or (self.limit is not None and self.limit < 1):
            raise UsageError(f"limit is {self.limit} and skip {self.skip}; they must be at least 1 and 0.")

    def of(self, conversations: Iterable[Conversation], task: Task) -> Iterator[Conversation]:
        """The conversations of the task that are taken.

        Where the task has `kinds`, rows of each kind are taken in turn, as long as there are any. All rows are read
        for that, and to shuffle them; otherwise no more than are needed. The order of a shuffle depends on the seed and
        on the rows' ids, so that rows that are added or lost leave the others in theirs.
        """
        rows: Iterable[Conversation] = conversations
        if self.shuffle:
            rows = sorted(rows, key=self._place)
        if self._takes_kinds(task):
            rows = _in_turn(list(rows), task.kinds)
        end = None if self.limit is None else self.skip + self.limit
        return islice(rows, self.skip, end)

    def reads_all(self, task: Task) -> bool:
        """Whether every row is read before the first is taken."""
        return self.shuffle or self._takes_kinds(task)

    def _takes_kinds(self, task: Task) -> bool:
        return bool(task.kinds) and (self.limit is not None or self.skip > 0)

    def _place(self, conversation: Conversation) -> bytes:
        return hashlib.sha256(f"{self.seed}/{conversation.id}".encode("utf-8", "surrogatepass")).digest()


def _in_turn(rows: Sequence[Conversation], key: str) -> Iterator[Conversation]:
    kinds: dict[str, list[Conversation]] = defaultdict(list)
    for row in rows:
        kinds[repr(row.metadata.get(key))].append(row)  # a list, of a task of one's own, is no key
    return (row for row in chain.from_iterable(zip_longest(*kinds.values())) if row is not None)
