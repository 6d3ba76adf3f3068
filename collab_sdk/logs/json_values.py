"""The rows in a text of JSON values, however they are laid and however large it is.

Of the text, no more is kept than one value of up to `LARGEST` bytes and the next piece to read on with.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.registry import WRAPPERS, are_messages, is_row
from collab_sdk.logs.formats.spellings import plain

LARGEST = 1 << 26
"""Bytes of a row; what is longer is skipped."""

_OTLP = frozenset(b"resourceLogs resourceSpans resource_logs resource_spans".split())
"""Lists whose items are read in their wrapper."""
_WHOLE = 1 << 22
"""Bytes up to which an object around a list of rows is one value; a larger one is taken apart."""
_COUNTED = 100_000
"""Lines before a broken value up to which an error in it names the line of the file."""
_BEFORE_ROWS = 1 << 16
"""Bytes of blanks, numbers and names in an array up to which its first object or array is looked for."""
_TOO_LONG = f"a row of more than {LARGEST >> 20} MiB, left out"
_TOO_DEEP = 20_000
"""Brackets; no parser takes more."""
_DEEPEST = 3
"""Arrays in arrays that are looked into for rows."""
_LONGEST_NAME = 16
"""Of what a number or a name may have in an array, enough to tell what it is."""

_OPENS, _LISTS, _END_OF_LIST, _QUOTE, _NEW_LINE = b"{[", b"[", b"]", ord('"'), ord("\n")
_LONGEST_KEY = 64
_REST_OF_STRING = re.compile(rb'(?:[^"\\\n]++|\\[^\n]|\\?\n(?=[^{\[]))*+')
"""A line break in a string is none of JSON's. It is taken for a part of the string, unless the next line begins as a
value does: then the string was cut off with its line."""
_QUIET = re.compile(rb'(?:[^"\[\]{}]++|"%b")*+' % _REST_OF_STRING.pattern)
"""All up to the next bracket, quoted ones included; stops before a string that the text does not end."""
_BLANK = re.compile(rb"(?:[ \t\r\n,\x1e]++|\xef\xbb\xbf)*+")
"""Between values; commas may be missing or too many. U+001E begins each value of a JSON text sequence (RFC 7464)."""
_LITERAL = rb"(?:null|true|false|NaN|-?Infinity|-?\d[\d.eE+-]*+)"
_BEGINNING = re.compile(rb"\[\s*+(?:%b\s*+,\s*+)*+" % _LITERAL)
"""Of an array, up to the first item that is more than a number or a name."""
_BARE = re.compile(rb'(?:"(?:[^"\\\n]++|\\.)*+"?|[^"\[\]{}, \t\r\n]++)++', re.DOTALL)
_LINE_END = re.compile(rb"\\?\n?")
_LINE = re.compile(rb"[^\n]*+")
_REST_OF_LINE = re.compile(rb"[^\n{\[]*+")
_LINES = re.compile(rb"[^\n]*\n?")
_INSIDE = re.compile(rb"\[\s*+")
_KEY = re.compile(rb'"(\w+)"\s*:\s*\Z')
_OURS = re.compile(rb'\{\s*"schema"\s*:\s*"collab/')
"""Rows of our own are never wrappers."""


class Value(NamedTuple):
    """A row, or what is wrong at its place."""

    place: str
    """As it follows the name of a file: `:3`, or `, item 2`."""
    text: bytes
    """Still to be parsed, so that one bad row does not cost the others."""
    problem: str = ""


class _BrokenError(Exception):
    """A value has no end; the position is where something else begins."""


class _LeftOutError(Exception):
    """A value is too long, or nested too deeply; the position is behind it."""


class JsonValues:
    """The rows of a text that `read` gives piece by piece, and that ends where it gives an empty one.

    Each object is a row, and so is each item of an array of objects, or of arrays of them. A list of messages is one
    row. Of a large object that wraps a list of rows, each item is one. Commas and line breaks do not matter: what
    follows a value is the next one. Where a value breaks off and the next begins on a line, reading goes on there.

    `read` is told how much of a value is waiting for its end.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._text, self._base = b"", 0
        """What was read and is needed, and its position."""
        self._is_over = False
        self._start = self._position = 0
        """Where the value begins that is read, and up to where it has been read."""
        self._counted, self._line = 0, 1
        """A position, and the number of its line."""
        self._begins_line = True
        self._is_long = False
        """Whether the value is too long, and its beginning is not kept."""
        self._depth = 0
        """How many objects are open around a list of rows."""
        self._nested = 0
        """How many arrays are open."""
        self._whole_until = 0
        """Where the last object ends that is too small to be taken apart, or where it breaks off."""
        self._array_at, self._item = "", 0
        self._broke_off = False
        self.count = 0

    def __iter__(self) -> Iterator[Value]:
        for value in self._all():
            self.count += 1
            yield value

    def _all(self) -> Iterator[Value]:
        while self._next_value():
            if self._byte() == b"{":
                yield from self._object()
            elif self._byte() == b"[" and self._is_array():
                yield from self._array()
            else:
                yield from self._junk()

    @property
    def place(self) -> str:
        """Of the value that is read."""
        return f"{self._array_at}, item {self._item}" if self._nested else f":{self._line_at(self._start)}"

    # The text

    def _more(self) -> bool:
        """Whether there is more text. Drops what is before the value that is read."""
        piece = self._read(self._end() - self._start)
        if not piece:
            self._is_over = True
            return False
        self._line_at(self._start)
        self._text = self._text[self._start - self._base :] + piece
        self._base = self._start
        return True

    def _end(self) -> int:
        return self._base + len(self._text)

    def _line_at(self, position: int) -> int:
        """The number of its line; positions are asked for in rising order."""
        self._line += self._text.count(b"\n", self._counted - self._base, position - self._base)
        self._counted = position
        return self._line

    def _slice(self, start: int, end: int) -> bytes:
        return self._text[start - self._base : end - self._base]

    def _byte(self) -> bytes:
        return self._slice(self._position, self._position + 1)

    def _matched(self, pattern: re.Pattern[bytes], position: int) -> int:
        """Where the match ends, as far as there is text."""
        found = pattern.match(self._text, position - self._base)
        return self._base + found.end() if found else position

    def _next_value(self) -> bool:
        """Move to where the next value begins. False at the end of the text."""
        self._begins_line = not self._position
        while True:
            self._start = self._position
            self._position = self._matched(_BLANK, self._start)
            self._begins_line |= b"\n" in self._slice(self._start, self._position)
            enough = 1 if self._byte() != b"\xef" else 3  # a mark of three bytes may be cut in two
            if self._position + enough <= self._end() or not self._more():
                self._start = self._position
                return self._position < self._end()

    def _through(self, pattern: re.Pattern[bytes]) -> bool:
        """Move to the end of the match, from the start on. False if it is too long for a value."""
        is_short = True
        while True:
            self._position = self._matched(pattern, self._start)
            if self._position < self._end():
                return is_short
            if self._position - self._start > LARGEST:
                is_short, self._start = False, self._position
            if not self._more():
                return is_short

    # Values

    def _row(self) -> Value:
        return Value(self.place, self._slice(self._start, self._position))

    def _too_long(self) -> Value:
        return Value(self.place, b"", _TOO_LONG)

    def _junk(self) -> Iterator[Value]:
        """What is no object or array: its line, or what is left of it up to the next value."""
        if self._byte() in (b"{", b"[", b"]", b"}") and not self._begins_line:
            self._position += 1  # a bracket that belongs to nothing
            yield self._row()
        elif self._through(_LINE if self._begins_line else _REST_OF_LINE):
            yield Value(self.place, self._slice(self._start, self._position).strip(b", \t\r\n"))
        else:
            yield self._too_long()

    def _object(self) -> Iterator[Value]:
        """The object, or the rows that it is there to hold."""
        place, depth = self.place, 0
        try:
            while wrapper := self._scan(depth, splits=self._nested < _DEEPEST):
                if not depth and self._nested:
                    self._item -= 1
                depth = self._depth
                yield from self._array(wrapper)
                if self._broke_off:
                    return
                self._start = self._position
        except _LeftOutError as error:
            yield Value(place, b"", str(error))
        except _BrokenError:
            yield from self._rescued()
        else:
            if not depth:
                yield from self._whole()

    def _array(self, wrapper: bytes = b"") -> Iterator[Value]:
        """The items of the array, which lies in an object under the key `wrapper` if any; or the array as a row."""
        if not (wrapper or self._holds_rows()):
            yield from self._list()
            return
        if not self._nested:
            self._array_at = f":{self._line_at(self._start)}" if self.count else ""
            self._item = 0
        self._nested += 1
        self._position += 1
        while self._next_value():
            first = self._byte()
            if first in (b"]", b"}"):
                self._position += 1
                self._nested -= 1
                return
            if first == b"[" and self._nested < _DEEPEST and self._holds_rows():
                yield from self._array()
            else:
                self._item += 1
                yield from self._item_of(first, wrapper)
            if self._broke_off:
                return
        yield self._broken_off("after")

    def _item_of(self, first: bytes, wrapper: bytes) -> Iterator[Value]:
        if first == b"[":
            yield from self._list()
        elif first != b"{":
            yield self._row() if self._through(_BARE) else self._too_long()
        elif wrapper in _OTLP:
            for place, text, problem in self._list():
                yield Value(place, b'{"%b":[%b]}' % (wrapper, text) if text else text, problem)
        else:
            yield from self._object()

    def _list(self) -> Iterator[Value]:
        """One row, whatever is in it."""
        place = self.place
        try:
            self._scan()
        except _LeftOutError as error:
            yield Value(place, b"", str(error))
        except _BrokenError:
            yield from self._rescued()
        else:
            yield from self._whole()

    def _whole(self) -> Iterator[Value]:
        """The value that ends here, unless it only seems to: one that breaks off may be closed by those behind it."""
        row = self._row()
        if b"\n{" in row.text and _parsed(row.text) is None:
            yield from self._rescued()
        else:
            yield row

    def _rescued(self) -> Iterator[Value]:
        """Of a value that is broken: the lines in it that are rows by themselves, and what is left as it is."""
        text, begin_line = self._slice(self._start, self._position), self._line_at(self._start)
        begin = 0
        for line, found in enumerate(_LINES.finditer(text), start=begin_line):
            row = found[0].rstrip(b", \t\r\n")
            if found.start() and row[:1] == b"{" and row[-1:] == b"}" and is_row(_parsed(row)):
                yield from self._wreck(text[begin : found.start()], begin_line)
                self._item += 1
                yield Value(self.place if self._nested else f":{line}", row)
                begin, begin_line = found.end(), line + 1
        if self._nested and self._is_over and self._position == self._end():
            yield self._broken_off("in")
        else:
            yield from self._wreck(text[begin:], begin_line)

    def _wreck(self, text: bytes, line: int) -> Iterator[Value]:
        text = text.rstrip()
        if not text.strip(b",]} \t\r\n"):
            return
        if self._nested:
            yield Value(self.place, text)
        else:
            # Errors in a text of several lines count them as the file does.
            above = line - 1 if b"\n" in text and line < _COUNTED else 0
            yield Value(f":{line}", b"\n" * above + text)

    def _broken_off(self, where: str) -> Value:
        """Said once for all arrays that are open."""
        self._broke_off = True
        line = self._line_at(self._start) + self._text.count(b"\n", self._start - self._base)
        problem = f"the array breaks off {where} item {self._item}, at line {line}; what is whole is read"
        self._position, self._nested = self._end(), 0
        return Value(self._array_at, b"", problem)

    def _scan(self, depth: int = 0, *, splits: bool = False, most: int = 0) -> bytes:
        """Move to the end of the object or array; or, if it may be split, to a list of rows in it, and return its key.

        Raises _BrokenError and _LeftOutError. With `most`, what is longer than so many bytes is not skipped.
        """
        if not most:
            self._is_long = False
        is_split = bool(depth)
        arrays = 0
        position = self._position
        while True:
            text, base = self._text, self._base
            at = _QUIET.match(text, position - base).end()  # type: ignore[union-attr]
            position = base + at
            if at == len(text):
                self._wait(position, most)
                continue
            if text[at] == _QUOTE:
                position = self._through_string(position, most)
                continue
            if text[at] in _OPENS:
                if depth and at and text[at - 1] == _NEW_LINE and not self._expects_value(at):
                    self._position = position
                    raise self._without_end()
                if text[at] in _LISTS:
                    if splits and depth and not arrays and (key := _KEY.search(text, max(0, at - _LONGEST_KEY), at)):
                        self._position, self._depth = position, depth
                        if self._is_wrapper(key[1], is_split=is_split):
                            return key[1]
                    arrays += 1
                depth += 1
                if depth > _TOO_DEEP:
                    self._position = position
                    if not most:
                        self._skip_lines()
                    raise _LeftOutError("JSON nested too deeply")
            else:
                arrays -= text[at] in _END_OF_LIST
                depth -= 1
            position += 1
            if not depth:
                self._position = position
                if self._is_long or position - self._start > (most or LARGEST):
                    raise _LeftOutError(_TOO_LONG)
                return b""

    def _skip_lines(self) -> None:
        """Move to the next line that begins as a value does."""
        while True:
            ends = [self._text.find(mark, self._position - self._base) for mark in (b"\n{", b"\n[")]
            if any(end >= 0 for end in ends):
                self._position = self._base + min(end for end in ends if end >= 0) + 1
                return
            self._start = self._position = self._end() - 1  # it may be the line's
            if not self._more():
                self._position = self._end()
                return

    def _through_string(self, quote: int, most: int) -> int:
        """Where the string ends that begins there and goes on behind what is read."""
        end = quote + 1
        while True:
            end = self._matched(_REST_OF_STRING, end)
            if self._slice(end, end + 1) == b'"':
                return end + 1
            behind = self._matched(_LINE_END, end)
            if end < behind < self._end() and self._slice(behind - 1, behind) == b"\n":
                self._position = behind
                raise self._without_end()
            self._wait(end, most)

    def _wait(self, position: int, most: int) -> None:
        """Read on, and keep nothing of a value that is too long."""
        self._position = position
        if self._is_long or position - self._start > (most or LARGEST):
            if most:
                raise _LeftOutError
            self._is_long, self._start = True, position
        if not self._more():
            self._position = self._end()
            raise self._without_end()

    def _without_end(self) -> Exception:
        return _LeftOutError(_TOO_LONG) if self._is_long else _BrokenError()

    def _expects_value(self, at: int) -> bool:
        """Whether an object or array may follow what is before it."""
        at -= 1
        while at >= 0 and self._text[at] in b" \t\r\n":
            at -= 1
        return at < 0 or self._text[at] in b",:["

    # What an array or object holds

    def _is_array(self) -> bool:
        """Whether a bracket begins an array of more than numbers and names, and is not one of a line of text."""
        first = self._first_inside()
        return self._slice(first, first + 1) in (b"{", b"[", b"]", b'"', b"")

    def _first_inside(self) -> int:
        """Where the first item of the array is that is more than a number or a name; not looked for any further than
        `_BEFORE_ROWS`.
        """
        while True:
            found = self._matched(_BEGINNING, self._position)
            if self._slice(found, found + 1) in (b"{", b"[", b"]", b'"') or self._end() - found > _LONGEST_NAME:
                return found
            if found - self._position > _BEFORE_ROWS:
                return found - 1
            if not self._more():
                return found

    def _holds_rows(self) -> bool:
        """Whether each item of the array is a row, or holds some; not so in a list of messages."""
        first = self._first_inside()
        if self._slice(first, first + 1) == b"{":
            return not are_messages([self._ahead(first)])
        if self._slice(first, first + 1) != b"[":
            return self._slice(first, first + 1) in (b"]", b"")
        while (within := self._matched(_INSIDE, first)) == self._end() and within - first <= _BEFORE_ROWS:
            if not self._more():
                return False
        return self._slice(within, within + 1) in (b"{", b"]")

    def _is_wrapper(self, key: bytes, *, is_split: bool) -> bool:
        """Whether the object that is read is a large one, around the list of rows that begins here."""
        if self._position < self._whole_until or (key not in _OTLP and plain(key.decode()) not in WRAPPERS):
            return False
        first = self._first_inside()
        if self._slice(first, first + 1) != b"{" or _OURS.match(self._text, self._start - self._base):
            return False
        if key not in _OTLP:
            item = self._ahead(first)
            if are_messages([item]) or not is_row(item):
                return False
        return is_split or self._is_large()

    def _is_large(self) -> bool:
        here, depth = self._position, self._depth
        try:
            with suppress(_BrokenError):
                self._scan(depth, most=_WHOLE)
            self._whole_until = self._position
        except _LeftOutError:
            return True
        finally:
            self._position, self._depth = here, depth
        return False

    def _ahead(self, position: int) -> Any:
        """The object that begins there; None if it is none."""
        here, depth, self._position = self._position, self._depth, position
        try:
            self._scan(most=LARGEST)
            return _parsed(self._slice(position, self._position))
        except (_BrokenError, _LeftOutError):
            return None
        finally:
            self._position, self._depth = here, depth


def _parsed(text: bytes) -> Any:
    try:
        return parse_json(text, lenient=True)
    except InputError:
        return None
