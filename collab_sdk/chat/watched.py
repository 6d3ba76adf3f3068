"""Finding out whether a bot uses the history it is given."""

from collections.abc import Iterator
from typing import Any, SupportsIndex

MessageDicts = list[dict[str, Any]]


class WatchedHistory(MessageDicts):
    """A list of messages that notices when a bot reads the last one and no other."""

    def __init__(self, messages: Iterator[dict[str, Any]]) -> None:
        super().__init__(messages)
        self._last_read = False
        self._others_read = False

    @property
    def only_last_read(self) -> bool:
        return self._last_read and not self._others_read

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        chosen = range(len(self))[index]
        last = len(self) - 1
        self._note(last_only=list(chosen) == [last] if isinstance(chosen, range) else chosen == last)
        return super().__getitem__(index)

    def _note(self, *, last_only: bool) -> None:
        self._last_read |= last_only
        self._others_read |= not last_only

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._note(last_only=False)
        return super().__iter__()

    def __reversed__(self) -> Iterator[dict[str, Any]]:
        self._note(last_only=False)
        return super().__reversed__()

    def __add__(self, other: Any) -> Any:
        return list(self) + other

    def __radd__(self, other: Any) -> Any:
        return other + list(self)

    def __repr__(self) -> str:  # str and f-strings come here too, and the list's own would read past __iter__
        return repr(list(self))

    def copy(self) -> MessageDicts:
        return list(self)

    def pop(self, index: SupportsIndex = -1) -> dict[str, Any]:
        self._note(last_only=False)
        return super().pop(index)
