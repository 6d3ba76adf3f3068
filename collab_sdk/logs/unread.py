"""Files in which nothing is a chat: reported once a file; those next to chats in a folder, once for all of them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from collab_sdk.errors import InputError, NotALogError
from collab_sdk.logs.formats.registry import UnknownRowError
from collab_sdk.logs.sources import shown_name, source_of

NO_LOGS = "files beside the chats, in which there are none: {names}"
_NAMED = 5

Report = Callable[[InputError], None]


@dataclass(kw_only=True)
class _Source:
    """A file whose rows are being read."""

    name: str
    has_chats: bool = False
    first: InputError | None = None
    """Of its rows that are of no known format, or what it is instead."""
    count: int = 0


class Unread:
    """Takes the errors of reading, and hands them on as soon as it is known whether their file holds chats at all.

    Files that were named are reported in any case. Of those that a folder or an archive was searched for, those without
    a chat are only counted, if any other has one.
    """

    def __init__(self, paths: Iterable[object], report: Report, notes: Counter[str]) -> None:
        self._named = {shown_name(str(path)) for path in paths}
        self._report = report
        self._notes = notes
        self._beside: list[InputError] = []
        self._source = _Source(name="")
        self._any = False

    def error(self, error: InputError) -> None:
        """An error of a row, or of what should have been one."""
        if not isinstance(error, UnknownRowError | NotALogError):
            self._report(error)
            return
        source = self._enter(source_of(error.where))
        if isinstance(error, UnknownRowError) and source.has_chats:
            self._report(error)
        else:
            source.first = source.first or error
            source.count += 1

    def chat(self, where: str) -> None:
        """A row at this place is one of a chat."""
        self._any = True
        source = self._enter(source_of(where))
        source.has_chats = True
        if source.first:
            self._hand_on(source, source.first)

    def close(self) -> None:
        """All has been read."""
        self._enter("")
        if not self._any:
            for error in self._beside:
                self._report(error)
        elif self._beside:
            names = [source_of(error.where).rpartition("/")[2] for error in self._beside]
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            self._notes[NO_LOGS.format(names=", ".join(names[:_NAMED]) + more)] += len(names)

    def _enter(self, name: str) -> _Source:
        if name != self._source.name:
            left, self._source = self._source, _Source(name=name)
            if left.first:
                self._leave(left, left.first)
        return self._source

    def _leave(self, source: _Source, error: InputError) -> None:
        """A file without a chat is behind."""
        if source.count > 1:
            error = InputError(
                f"{error.problem} (the same for {source.count - 1:,} more of its rows)", where=source.name
            )
        if source.name in self._named:
            self._report(error)
        else:
            self._beside.append(error)

    def _hand_on(self, source: _Source, error: InputError) -> None:
        """The rows before the first chat of a file were bad ones."""
        self._report(error)
        if source.count > 1:
            self._report(
                InputError(f"{source.count - 1:,} more rows before the first chat, the same", where=source.name)
            )
        source.first, source.count = None, 0
