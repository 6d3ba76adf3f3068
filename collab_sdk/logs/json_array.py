"""The items of one JSON array, however large its file: in memory is never more than the longest of them."""

import re
from collections.abc import Callable, Iterator

CHUNK = 1 << 20

_QUIET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
"""All up to the next bracket, quoted ones included; stops before a string that the text does not end."""


class BrokenArrayError(Exception):
    """The array does not end. `line` is where its file does; `inside`: in the middle of an item."""

    def __init__(self, *, line: int, inside: bool) -> None:
        super().__init__()
        self.line = line
        self.inside = inside


def array_items(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The items as text still to be parsed, so that one bad item does not cost the others.

    Raises BrokenArrayError after the last whole item where the closing bracket is missing. What follows it is ignored,
    and so are missing commas.
    """
    text, depth, start, line = b"", 0, 0, 1
    position = 0
    while True:
        position = _QUIET.match(text, position).end()  # type: ignore[union-attr]
        if position == len(text) or text[position : position + 1] == b'"':  # a string that goes on behind the chunk
            # As much again as is waiting: a long string is then scanned a bounded number of times.
            more = read(max(CHUNK, len(text) - start))
            if not more:
                raise BrokenArrayError(line=line + text.count(b"\n"), inside=depth > 1 or bool(_bare(text[start:])))
            line += text.count(b"\n", 0, start)
            text, position, start = text[start:] + more, position - start, 0
            continue
        opens = text[position : position + 1] in b"{["
        if depth == 1:  # between items: a number, a name or a string may stand there too
            if bare := _bare(text[start:position]):
                yield bare
            start = position
        position += 1
        depth += 1 if opens else -1
        if depth == 0:
            return
        if depth == 1:
            if not opens:
                yield text[start:position]
            start = position


def _bare(text: bytes) -> bytes:
    return text.strip(b", \t\r\n")
