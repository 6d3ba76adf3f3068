"""From a file to its rows: JSON values however they are laid, or a table, in anything that they are packed in."""

import codecs
import io
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from collab_sdk.errors import InputError, NotALogError
from collab_sdk.files import parse_json, reason, to_json
from collab_sdk.logs.archives import in_any_order, parts
from collab_sdk.logs.formats.registry import is_row
from collab_sdk.logs.json_values import LARGEST, JsonValues, Value
from collab_sdk.logs.sources import open_log, peek, shown_name
from collab_sdk.logs.tables import LOOKAHEAD, Dialect, arrow_rows, csv_dialect, csv_rows, parquet_rows

Report = Callable[[InputError], None]

CHUNK = 1 << 18
_PATIENT = 1 << 22
"""Bytes that are waited for at once while a long value is read."""
_HEAD, _LONG_HEAD = 1 << 16, 1 << 22
"""Bytes that show what a text is; the second where the first rows of a table are long."""

_PARQUET = (b"PAR1", b"PARE")
_ARROW_FILE, _ARROW_STREAM = b"ARROW1", b"\xff\xff\xff\xff"
_SQLITE = b"SQLite format 3\0"
_UTF = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_JSON = re.compile(
    rb'(?:\xef\xbb\xbf|\s|\x1e)*(?:\{|\[\s*(?:[\[{\]"]|\Z|(?:null|true|false|NaN|[-+.\w]+)\s*,\s*[\[{])|\Z)'
)
_COLUMNS = re.compile(rb'\{\s*(?:"[^"\\]{0,100}"\s*:\s*\{\s*"0"\s*:|"0"\s*:\s*\{|"(?:columns|index)"\s*:\s*\[)')
"""How the JSON of pandas begins, where it is not written as records."""
_NO_LOGS = (
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0\0\0\0|RIFF.{4}WEBP|II\*\0|MM\0\*", re.DOTALL), "an image"),
    (re.compile(rb"RIFF.{4}WAVE|ID3|OggS|fLaC|\xff[\xf2\xf3\xfb]", re.DOTALL), "a sound"),
    (re.compile(rb".{4}ftyp|\x1a\x45\xdf\xa3", re.DOTALL), "a video or sound"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|svg)", re.IGNORECASE), "XML"),
)
_BLANK = b" \t\r\n,\x1e\xef\xbb\xbf"
_GLANCE = 200


def read_rows(file: str, report: Report) -> Iterator[tuple[str, bytes]]:
    """The rows of a file, each with its place, as JSON text still to be parsed, `lenient`.

    What the file is shows in how it begins: compressed or an archive, a Parquet or Arrow file, else text. Text that
    begins as JSON does, or has a chat in one of its first `LOOKAHEAD` lines, is read as JSON values, other text as CSV.
    A file that can hold no rows is one NotALogError, and what is wrong with a row is one InputError; the rest is read.
    """
    name = shown_name(file)
    try:
        with open_log(file) as log:
            for part in parts(name, log, report):
                yield from _rows_of(part.name, part.log, report)
    except InputError as error:
        report(error)
    except (OSError, EOFError) as error:
        report(InputError(_cut_off(error), where=f"{name}:1"))


def _rows_of(name: str, log: io.BufferedReader, report: Report) -> Iterator[tuple[str, bytes]]:
    """The rows of a file that is packed in nothing else."""
    beginning = peek(log)
    try:
        if beginning.startswith(_PARQUET):
            with in_any_order(log) as file:
                yield from _given(name, parquet_rows(file), report)
        elif beginning.startswith(_ARROW_FILE):
            with in_any_order(log) as file:
                yield from _given(name, arrow_rows(file, is_stream=False), report)
        elif beginning.startswith(_ARROW_STREAM):
            yield from _given(name, arrow_rows(log, is_stream=True), report)
        elif beginning.startswith(_SQLITE):
            raise InputError("an SQLite database in a pipe or an archive; make it a file of its own")
        elif encoding := _utf(beginning):
            yield from _rows_of_text(name, io.BufferedReader(_Recoded(log, encoding)), report)
        elif kind := _no_log(beginning):
            raise NotALogError(f"not a chat log: {kind}")
        else:
            yield from _rows_of_text(name, log, report)
    except InputError as error:
        if error.where:
            raise
        report(type(error)(error.problem, where=name))
    except (OSError, EOFError) as error:
        report(InputError(_cut_off(error), where=f"{name}:1"))


def _rows_of_text(name: str, log: io.BufferedReader, report: Report) -> Iterator[tuple[str, bytes]]:
    text = _Text(log)
    if _JSON.match(peek(log)) or text.has_row():
        yield from _json_rows(name, text, report)
    elif dialect := text.dialect():
        yield from _given(name, csv_rows(io.BufferedReader(text), dialect), report)
    else:
        raise text.error or NotALogError("not a chat log: expected JSON, JSON lines or a table")


def _given(name: str, values: Iterable[Value], report: Report) -> Iterator[tuple[str, bytes]]:
    for place, row, problem in values:
        if problem:
            report(InputError(problem, where=name + place))
        else:
            yield name + place, row


def _json_rows(name: str, text: "_Text", report: Report) -> Iterator[tuple[str, bytes]]:
    """The rows. Where nothing at the beginning is JSON, all of it is one error."""
    values = JsonValues(text.read)
    try:
        for value in chain.from_iterable(map(_by_rows, _sound(values))):
            yield from _given(name, [value], report)
    except (OSError, EOFError) as error:
        report(InputError(_cut_off(error), where=name + values.place))
    else:
        if not values.count:
            what = "no chats in this file: the array is empty" if text.is_said else "the file is empty"
            raise NotALogError(what)


def _sound(values: Iterable[Value]) -> Iterator[Value]:
    """The values; if none of the first `LOOKAHEAD` is JSON, only the first."""
    values = iter(values)
    bad: list[Value] = []
    for value in values:
        if value.problem or not value.place.startswith(":") or _is_json(value.text):
            yield from bad
            yield value
            yield from values
            return
        bad.append(value)
        if len(bad) > LOOKAHEAD or sum(len(each.text) for each in bad) > LARGEST:
            break
    yield from bad[:1]


def _by_rows(value: Value) -> Iterable[Value]:
    """A table as pandas writes it by default, with a column in each key, row by row; anything else as it is."""
    if not _COLUMNS.match(value.text[:_GLANCE]):
        return [value]
    try:
        rows = _rows_of_columns(parse_json(value.text, lenient=True))
    except InputError:
        return [value]
    return [Value(f"{value.place}, row {n}", to_json(row).encode()) for n, row in enumerate(rows, start=1)] or [value]


def _rows_of_columns(table: Any) -> list[dict[str, Any]]:
    """The rows of a table by `orient="columns"`, "index" or "split"; none for what is no such table."""
    if not isinstance(table, dict):
        return []
    if isinstance(columns := table.get("columns"), list) and isinstance(data := table.get("data"), list):
        is_table = all(isinstance(row, list) and len(row) == len(columns) for row in data)
        return [dict(zip(map(str, columns), row, strict=True)) for row in data] if is_table else []
    parts = list(table.values())
    if not all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        return []
    if "0" in table:
        return parts
    return [{name: column[number] for name, column in table.items()} for number in parts[0]]


def _is_json(text: bytes) -> bool:
    try:
        parse_json(text, lenient=True)
    except InputError:
        return False
    return True


def _utf(beginning: bytes) -> str | None:
    """The encoding if it is UTF-16 or UTF-32; without a mark, UTF-16 has a zero for every other byte of JSON."""
    if found := next((name for mark, name in _UTF if beginning.startswith(mark)), None):
        return found
    even, odd = beginning[:64:2], beginning[1:64:2]
    if len(odd) < 2:
        return None
    if all(even) and odd.count(0) > len(odd) / 2:
        return "utf-16-le"
    return "utf-16-be" if all(odd) and even.count(0) > len(even) / 2 else None


def _no_log(beginning: bytes) -> str | None:
    """What the file is if it can hold no chats."""
    if found := next((what for pattern, what in _NO_LOGS if pattern.match(beginning)), None):
        return found
    is_text = b"\0" not in beginning or (_JSON.match(beginning) and b"\0" not in beginning[:4])
    return None if is_text else "binary data"


def _cut_off(error: Exception) -> str:
    return f"cannot be read from here on: {reason(error)}"


class _Text(io.RawIOBase):
    """A log that is looked at before it is read."""

    def __init__(self, log: io.BufferedReader) -> None:
        self._log = log
        self._head = b""
        self._is_all = False
        self.error: OSError | EOFError | None = None
        """What ends the log where it has been looked at, raised once all before it is read."""
        self.is_said = False
        """Whether anything but blanks was read."""

    def has_row(self) -> bool:
        """Whether one of the first lines is a chat."""
        self._look(_HEAD)
        return any(is_row(_parsed(line)) for line in self._head.split(b"\n", LOOKAHEAD + 1)[: LOOKAHEAD + 1])

    def dialect(self) -> Dialect | None:
        """How the text is a table, if it is one."""
        self._look(_HEAD)
        found = csv_dialect(self._head, is_all=self._is_all)
        if found is None and not self._is_all:
            self._look(_LONG_HEAD)
            found = csv_dialect(self._head, is_all=self._is_all)
        return found

    def read(self, waiting: int = 0) -> bytes:
        """A piece; the larger the longer a value is that waits for it, so that what waits is looked through seldom."""
        pieces = [self._head]
        size = min(waiting // 8, _PATIENT) - len(self._head)
        self._head = b""
        try:
            while (size > 0 or not any(pieces)) and (piece := self._read1(CHUNK)):
                pieces.append(piece)
                size -= len(piece)
        except (OSError, EOFError):
            if not any(pieces):
                raise
        text = b"".join(pieces)
        self.is_said = self.is_said or bool(text.strip(_BLANK))
        return text

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self._head = (self._head or self._read1(len(buffer))), b""
        piece, self._head = piece[: len(buffer)], piece[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def _look(self, size: int) -> None:
        while len(self._head) < size and not (self._is_all or self.error):
            try:
                piece = self._log.read1(CHUNK)
            except (OSError, EOFError) as error:
                self.error = error
                return
            self._head += piece
            self._is_all = not piece

    def _read1(self, size: int) -> bytes:
        if self.error:
            raise self.error
        return self._log.read1(size)


class _Recoded(io.RawIOBase):
    """A log of another encoding in UTF-8."""

    def __init__(self, log: io.BufferedReader, encoding: str) -> None:
        self._log = log
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            while not self._ready and (piece := self._log.read1(_HEAD)):
                self._ready = self._decoder.decode(piece).encode("utf-8", "surrogatepass")
            if not self._ready:
                self._decoder.decode(b"", final=True)
        except UnicodeError as error:
            raise OSError(f"not {getattr(error, 'encoding', 'Unicode').upper()} text") from None
        piece, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _parsed(line: bytes) -> Any:
    try:
        return parse_json(line, lenient=True)
    except InputError:
        return None
