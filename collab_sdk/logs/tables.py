"""Rows of tables: CSV with any delimiter and quotes, Parquet, and the Arrow files of Hugging Face's datasets."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice, product
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, reason, to_json
from collab_sdk.logs.formats.registry import is_row
from collab_sdk.logs.json_values import LARGEST, Value

LOOKAHEAD = 20
"""Rows that show how a table is written."""

_CELL = 1 << 24
"""Characters of a cell of CSV."""
_LINE = 1 << 25
"""Characters of a line of CSV; what is longer is cut, and then no row of the table."""
_LONGEST_HEADING = 100
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
_BATCH = 64
"""Rows of Parquet or Arrow that are objects at a time."""
_FILLED_UP = frozenset("args arguments input inputs kwargs output outputs parameters properties".split())
"""Objects with keys of their own in each row, which a table fills up with nulls for those of all other rows."""


class Dialect(NamedTuple):
    """How a CSV file is written, and the names of its columns."""

    delimiter: str
    quote: str
    escape: str | None
    header: tuple[str, ...]


def csv_dialect(beginning: bytes, *, is_all: bool) -> Dialect | None:
    """The dialect in which the beginning of a file, or all of it, is a table; None where it is none in any.

    A table has different headings, and as many cells in each row, or in one at least that is then of a known format.
    """
    lines = beginning.decode("utf-8-sig", "surrogateescape").splitlines(keepends=True)
    found = None
    best: tuple[float, ...] = ()
    for quote, escape, delimiter in product("\"'", (None, "\\"), ",\t;|"):
        header, *rows = _first_records(lines, delimiter, quote, escape, is_all=is_all) or [[]]
        if not rows or not _are_headings(header):
            continue
        fitting = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
        known = any(map(is_row, fitting))
        if not known and (len(header) == 1 or len(fitting) < len(rows)):
            continue
        values = sum(_is_json(cell) for row in fitting for cell in row.values())
        score = (len(fitting) / len(rows), values, len(header))
        if score > best:
            best, found = score, Dialect(delimiter, quote, escape, tuple(header))
    return found


def csv_rows(log: io.BufferedReader, dialect: Dialect) -> Iterator[Value]:
    """The rows, each at the line where it begins. Cells are text; JSON in them is left to the formats."""
    text = io.TextIOWrapper(log, "utf-8-sig", "surrogateescape", newline="")
    reader = csv.reader(iter(lambda: text.readline(_LINE), ""), **_options(*dialect[:3]))
    header = None
    try:
        while True:
            place = f":{reader.line_num + 1}"
            try:
                with _long_cells():
                    cells = next(reader, None)
            except csv.Error as error:
                yield Value(place, b"", f"no row of this table: {error}")
                continue
            except (OSError, EOFError) as error:
                yield Value(place, b"", f"cannot be read from here on: {reason(error)}")
                return
            if cells is None:
                return
            if header and cells:
                yield _csv_row(place, dialect.header, cells)
            header = header or cells
    finally:
        text.detach()


def parquet_rows(file: BinaryIO) -> Iterator[Value]:
    """The rows of a Parquet file. Raises InputError where pyarrow is missing."""
    pyarrow = _pyarrow("a Parquet file")
    import pyarrow.parquet as parquet

    def batches() -> Iterator[Any]:
        table = parquet.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        for number in range(table.num_row_groups):
            group = table.metadata.row_group(number)
            if group.num_rows and group.total_byte_size / group.num_rows > LARGEST:
                raise OSError(f"its rows are larger than {LARGEST >> 20} MiB")
        columns = [field.name for field in table.schema_arrow if not _is_binary(field.type)]
        yield from table.iter_batches(batch_size=_BATCH, columns=columns, use_threads=False)

    yield from _arrow_rows(batches(), pyarrow)


def arrow_rows(file: BinaryIO, *, is_stream: bool) -> Iterator[Value]:
    """The rows of an Arrow file, such as `datasets` writes. Raises InputError where pyarrow is missing."""
    pyarrow = _pyarrow("an Arrow file, such as those of datasets.save_to_disk")
    import pyarrow.ipc as ipc

    def batches() -> Iterator[Any]:
        if is_stream:
            yield from ipc.open_stream(file)
        else:
            table = ipc.open_file(file)
            yield from map(table.get_batch, range(table.num_record_batches))

    yield from _arrow_rows(batches(), pyarrow)


def _first_records(
    lines: Sequence[str], delimiter: str, quote: str, escape: str | None, *, is_all: bool
) -> list[list[str]]:
    """The first rows that are not empty, without the last one if it may go on."""
    reader = csv.reader(lines, **_options(delimiter, quote, escape))
    try:
        with _long_cells():
            records = list(islice(filter(None, reader), LOOKAHEAD + 2))
    except csv.Error:
        return []
    return records[: LOOKAHEAD + 1] if is_all or len(records) > LOOKAHEAD + 1 else records[:-1]


@contextmanager
def _long_cells() -> Iterator[None]:
    """Allow cells of up to `_CELL` for as long as a row is read: the limit is one for the whole process."""
    before = csv.field_size_limit(_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _options(delimiter: str, quote: str, escape: str | None) -> Any:
    return {"delimiter": delimiter, "quotechar": quote, "escapechar": escape, "doublequote": escape is None}


def _are_headings(cells: Sequence[str]) -> bool:
    names = [cell.strip() for cell in cells]
    return len(set(names)) == len(names) and all(0 < len(name) <= _LONGEST_HEADING for name in names)


def _is_json(cell: str) -> bool:
    if not cell.lstrip().startswith(("{", "[")):
        return False
    try:
        parse_json(cell, lenient=True)
    except InputError:
        return False
    return True


def _csv_row(place: str, header: Sequence[str], cells: Sequence[str]) -> Value:
    if len(cells) != len(header):
        return Value(place, b"", f"no row of this table: {len(cells)} cells for {len(header)} columns")
    if any(map(_NOT_UTF_8.search, cells)):
        return Value(place, b"", "not UTF-8 text")
    return Value(place, to_json(dict(zip(header, cells, strict=True))).encode())


def _pyarrow(what: str) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise InputError(f"{what}, which needs pyarrow: pip install pyarrow, or convert it to JSON lines") from None
    return pyarrow


def _arrow_rows(batches: Iterator[Any], pyarrow: Any) -> Iterator[Value]:
    number = 0
    try:
        for batch in batches:
            columns = [field.name for field in batch.schema if not _is_binary(field.type)]
            for start in range(0, batch.num_rows, _BATCH):
                for row in batch.select(columns).slice(start, _BATCH).to_pylist():
                    number += 1
                    yield _arrow_row(f", row {number}", row)
    except (pyarrow.ArrowException, OSError, ValueError, NotImplementedError) as error:
        problem = " ".join(str(error).split())[:200]
        yield Value(f", row {number + 1}", b"", f"cannot be read from here on: {problem}")


def _arrow_row(place: str, row: Mapping[str, Any]) -> Value:
    text = json.dumps(_without_filling(row), ensure_ascii=False, default=_as_json).encode("utf-8", "replace")
    if len(text) > LARGEST:
        return Value(place, b"", f"a row of more than {LARGEST >> 20} MiB, left out")
    return Value(place, text)


def _without_filling(value: Any, *, is_filled: bool = False) -> Any:
    """The value without the nulls that are there because other rows have such keys."""
    if isinstance(value, dict):
        return {
            key: _without_filling(each, is_filled=is_filled or key in _FILLED_UP)
            for key, each in value.items()
            if not (is_filled and each is None)
        }
    if isinstance(value, list):
        return [_without_filling(each, is_filled=is_filled) for each in value]
    return value


def _is_binary(kind: Any) -> bool:
    """Whether a column holds media, or what else is no text."""
    return "binary" in str(kind) and "string" not in str(kind)


def _as_json(value: Any) -> Any:
    """A value of Arrow that JSON has no word for; bytes are no text."""
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else str(value) if isinstance(value, UUID) else None
