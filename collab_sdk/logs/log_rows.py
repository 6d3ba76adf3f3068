"""From a file to its rows: JSON lines, or one JSON document."""

import codecs
import re
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from itertools import chain, dropwhile, islice
from typing import Any, BinaryIO, cast

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json, reason
from collab_sdk.logs.formats.registry import is_row
from collab_sdk.logs.json_array import BrokenArrayError, array_items
from collab_sdk.logs.sources import open_log, peek, shown_name

Report = Callable[[InputError], None]
Line = tuple[int, bytes]

LOOKAHEAD = 20

_ARRAY = re.compile(rb"\s*\[\s*(?:[{\]]|\Z)")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UNREADABLE = (OSError, EOFError, zlib.error)
"""The last two: gzip data cut short or damaged."""


def read_rows(file: str, report: Report) -> Iterator[tuple[str, bytes]]:
    """The rows of a file, each with its place, as JSON text still to be parsed.

    The content decides what a file is, in this order:

    1. It begins as an array of objects does: each item is a row.
    2. Its first line is a JSON object: JSON lines.
    3. One of its first `LOOKAHEAD` lines is a chat: JSON lines that begin badly.
    4. It is one JSON object over several lines: a single row, the only thing that is loaded whole.
    5. Otherwise it is no chat log: one error for the file.
    """
    name = shown_name(file)
    try:
        with open_log(file) as log:
            beginning = peek(log)
            if beginning.startswith(_UTF_16):
                report(InputError("UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)", where=name))
            elif _ARRAY.match(beginning.removeprefix(codecs.BOM_UTF8)):
                yield from _rows_of_array(log, name, report)
            else:
                yield from _rows_of_lines(log, name, report)
    except _UNREADABLE as error:
        report(_cut_off(error, f"{name}:1"))


def _rows_of_array(log: BinaryIO, name: str, report: Report) -> Iterator[tuple[str, bytes]]:
    number = 0
    try:
        for number, item in enumerate(array_items(lambda size: _read(log, size)), start=1):
            yield f"{name}, item {number}", item
    except BrokenArrayError as error:
        where = f"in item {number + 1}" if error.inside else f"after item {number}"
        report(InputError(f"the array breaks off {where}, at line {error.line}; what is whole is read", where=name))
    except _UNREADABLE as error:
        report(_cut_off(error, f"{name}, item {number + 1}"))
    else:
        if not number:
            report(InputError("no chats in this file: the array is empty", where=name))


def _read(log: BinaryIO, size: int) -> bytes:
    """That many bytes, or what there is before the end or before reading fails."""
    pieces = []
    try:
        while size > 0 and (piece := cast(BufferedReader, log).read1(size)):
            pieces.append(piece)
            size -= len(piece)
    except _UNREADABLE:
        if not pieces:
            raise
    return b"".join(pieces)


def _rows_of_lines(log: BinaryIO, name: str, report: Report) -> Iterator[tuple[str, bytes]]:
    lines = dropwhile(_is_blank, _read_lines(log, name, report))
    head = list(islice(lines, 1))
    if head and not isinstance(_parsed(head[0]), dict):
        head += islice(lines, LOOKAHEAD)
        if not any(is_row(_parsed(line)) for line in head):
            yield from _one_document(head, lines, name, report)
            return
    for number, text in chain(head, lines):
        if text.strip():
            yield f"{name}:{number}", text.strip()


def _one_document(head: list[Line], rest: Iterator[Line], name: str, report: Report) -> Iterator[tuple[str, bytes]]:
    problem = "not a chat log: expected JSON or JSON lines"
    if head[0][1].lstrip().startswith(b"{"):
        skipped = b"\n" * (head[0][0] - 1)  # errors count lines as the file does
        text = skipped + b"".join(text for _, text in chain(head, rest))
        try:
            parse_json(text)
        except InputError as error:
            problem = error.problem
        else:
            yield name, text
            return
    report(InputError(problem, where=name))


def _read_lines(log: BinaryIO, name: str, report: Report) -> Iterator[Line]:
    """Numbered lines. Where reading fails, the lines so far stand and the failure is reported."""
    number = 0
    all_blank = True
    try:
        for number, text in enumerate(log, start=1):
            line = number, text.removeprefix(codecs.BOM_UTF8) if number == 1 else text
            all_blank = all_blank and _is_blank(line)
            yield line
    except _UNREADABLE as error:
        report(_cut_off(error, f"{name}:{number + 1}"))
    else:
        if all_blank:
            report(InputError("the file is empty", where=name))


def _cut_off(error: Exception, where: str) -> InputError:
    return InputError(f"cannot be read from here on: {reason(error)}", where=where)


def _is_blank(line: Line) -> bool:
    return not line[1].strip()


def _parsed(line: Line) -> Any:
    try:
        return parse_json(line[1])
    except InputError:
        return None
