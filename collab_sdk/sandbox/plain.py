"""Plain values as JSON, by their exact types: what passes between a tested program and its tests, both in the sandbox.

Its source is put before `tested.py` and `tester.py`, which run there: it may import the standard library alone.
"""

import datetime
import decimal
import fractions
import json
import pathlib
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from typing import Any

BARE = (type(None), bool, int, float, str)
SEQUENCES = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
MAPPINGS = {"dict": dict, "Counter": Counter, "OrderedDict": OrderedDict, "defaultdict": dict}
IN_WORDS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any] | None]] = {
    "Decimal": (decimal.Decimal, str, decimal.Decimal),
    "Fraction": (fractions.Fraction, str, fractions.Fraction),
    "datetime": (datetime.datetime, str, datetime.datetime.fromisoformat),
    "date": (datetime.date, str, datetime.date.fromisoformat),
    "time": (datetime.time, str, datetime.time.fromisoformat),
    "timedelta": (datetime.timedelta, lambda value: [value.days, value.seconds, value.microseconds], None),
    "complex": (complex, lambda value: [value.real, value.imag], None),
    "range": (range, lambda value: [value.start, value.stop, value.step], None),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "bytearray": (bytearray, bytearray.hex, bytearray.fromhex),
    "path": (pathlib.PosixPath, str, pathlib.PosixPath),
}
"""Name: type, how it is written, and how it is read; None: as the type's arguments."""


def encode(value: Any, refer: Callable[[Any], Any]) -> Any:
    """The value as JSON has it, or what `refer` makes of it where its type is none of those above, and not like one."""
    kind = type(value)
    if kind in BARE:
        return value
    for name, sequence in SEQUENCES.items():
        if kind is sequence:
            return [name, [encode(item, refer) for item in value]]
    for name, mapping in {**MAPPINGS, "defaultdict": defaultdict}.items():
        if kind is mapping:
            return [name, [[encode(key, refer), encode(item, refer)] for key, item in value.items()]]
    for name, (plain, write, _) in IN_WORDS.items():
        if kind is plain:
            return [name, write(value)]
    if isinstance(value, tuple) and type(getattr(kind, "_fields", None)) is tuple:
        return ["namedtuple", [kind.__name__, list(kind._fields), [encode(item, refer) for item in tuple(value)]]]
    if kind.__module__ == "numpy" and getattr(value, "shape", None) == ():
        return encode(value.item(), refer)
    return refer(value)


def decode(data: Any, resolve: Callable[[str, Any], Any]) -> Any:
    """What was encoded; `resolve` finds what was referred to."""
    if type(data) is not list:
        return data
    name, held = data
    if name in SEQUENCES:
        return SEQUENCES[name](decode(item, resolve) for item in held)
    if name in MAPPINGS:
        return MAPPINGS[name]({decode(key, resolve): decode(item, resolve) for key, item in held})
    if name in IN_WORDS:
        kind, _, read = IN_WORDS[name]
        return read(held) if read else kind(*held)
    if name == "namedtuple":
        return namedtuple(held[0], held[1])(*(decode(item, resolve) for item in held[2]))
    return resolve(name, held)


class Connection:
    """Lines of JSON over two pipes. `read` raises EOFError where the other side has ended."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = open(reading, "rb"), open(writing, "wb")  # noqa: SIM115

    def write(self, message: Any) -> None:
        self._writing.write(json.dumps(message).encode() + b"\n")
        self._writing.flush()

    def read(self) -> Any:
        line = self._reading.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return json.loads(line)
