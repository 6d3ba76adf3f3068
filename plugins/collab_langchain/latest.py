"""What is remembered of an app that never ends: the latest."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Latest(Generic[Key, Value]):
    """The values that were put last: at most `limit`, and of about `most` characters by `size`.

    As in Runs, there are no locks.
    """

    def __init__(self, limit: int, *, most: int = 0, size: Callable[[Value], int] | None = None) -> None:
        self._limit = limit
        self._most = most
        self._size = size
        self._values: dict[Key, Value] = {}
        self._put = 0  # characters since they were last counted, with what was there then

    def get(self, key: Key) -> Value | None:
        return self._values.get(key)

    def pop(self, key: Key) -> Value | None:
        return self._values.pop(key, None)

    def put(self, key: Key, value: Value) -> None:
        self._values.pop(key, None)
        self._values[key] = value
        with suppress(RuntimeError, StopIteration):  # another thread is at it
            while len(self._values) > self._limit:
                self._values.pop(next(iter(self._values)), None)
            if self._size is not None:
                self._put += self._size(value)
                if self._put > self._most:
                    self._put = self._thinned(self._size)

    def clear(self) -> None:
        self._values.clear()

    def _thinned(self, size: Callable[[Value], int]) -> int:
        """Forget the oldest until half of what may be kept is left, so that it is seldom counted; how much that is."""
        kept = 0
        for key, value in reversed(list(self._values.items())):
            if kept + (more := size(value)) <= self._most // 2:
                kept += more
            else:
                self._values.pop(key, None)
        return kept


def characters(value: Any) -> int:
    """Of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(characters, value.values()))
    return sum(map(characters, value)) if isinstance(value, list | tuple) else 0
