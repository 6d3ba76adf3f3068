"""From a file to its rows: JSON lines, or one JSON document."""

import codecs
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, dropwhile, islice
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats import format_of
from collab_sdk.logs.json_text import parse_json
from collab_sdk.logs.sources import STDIN, open_log, reason

Report = Callable[[InputError], None]
Line = tuple[int, bytes]

LOOKAHEAD = 20


def read_rows(file: str, report: Report) -> Iterator[tuple[str, Any]]:
    """The rows of a file, each with its place. A row of JSON lines comes as bytes, still to be parsed.

    The content decides what a file is, in this order:

    1. Its first line is a JSON object: JSON lines, read one by one.
    2. It is one JSON document, an array of rows or a single row: loaded whole.
    3. A later line is a chat: JSON lines that begin badly. Looked for in the next `LOOKAHEAD` lines, or in all of them
       where the first line begins like a document.
    4. Otherwise it is no chat log: one error for the file.
    """
    name = "stdin" if file == STDIN else file
    lines = dropwhile(_is_blank, _read_lines(file, name, report))
    head = list(islice(lines, 1))
    if head and not isinstance(_parsed(head[0]), dict):
        if head[0][1].lstrip().startswith((b"{", b"[")):
            head += lines
            try:
                document = _parse_document(head)
            except InputError as error:
                problem = error.problem
            else:
                yield from _rows_of(document, name, report)
                return
        else:
            head += islice(lines, LOOKAHEAD)
            problem = "not a chat log: expected JSON or JSON lines"
        if not any(format_of(_parsed(line)) for line in head):
            report(InputError(problem, where=name))
            return
    for number, text in chain(head, lines):
        if text.strip():
            yield f"{name}:{number}", text.strip()


def _read_lines(file: str, name: str, report: Report) -> Iterator[Line]:
    """Numbered lines. Where reading fails, the lines so far stand and the failure is reported."""
    number = 0
    all_blank = True
    try:
        with open_log(file) as log:
            for number, text in enumerate(log, start=1):
                line = number, text.removeprefix(codecs.BOM_UTF8) if number == 1 else text
                all_blank = all_blank and _is_blank(line)
                yield line
    except (OSError, EOFError, zlib.error) as error:  # the last two: gzip data cut short or damaged
        report(InputError(f"cannot be read from here on: {reason(error)}", where=f"{name}:{number + 1}"))
    else:
        if all_blank:
            report(InputError("the file is empty", where=name))


def _is_blank(line: Line) -> bool:
    return not line[1].strip()


def _parsed(line: Line) -> Any:
    try:
        return parse_json(line[1])
    except InputError:
        return None


def _parse_document(lines: list[Line]) -> Any:
    skipped = lines[0][0] - 1
    return parse_json(b"\n" * skipped + b"".join(text for _, text in lines))  # errors count lines as the file does


def _rows_of(document: Any, name: str, report: Report) -> Iterator[tuple[str, Any]]:
    if not isinstance(document, list):
        yield name, document
    elif not document:
        report(InputError("no chats in this file: the array is empty", where=name))
    else:
        for number, row in enumerate(document, start=1):
            yield f"{name}, item {number}", row
