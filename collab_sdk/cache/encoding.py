"""Rows as bytes: compact JSON, compressed, and nothing else."""

import json
import zlib
from typing import Any

MAX_ROW_BYTES = 64 << 20


class HostileRowError(ValueError):
    """A row that this package did not write, or that was changed since."""


def to_json(value: Any) -> bytes:
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return data.encode("utf-8", "surrogatepass")


def from_json(raw: bytes) -> Any:
    return json.loads(raw.decode("utf-8", "surrogatepass"))


def compress(raw: bytes) -> bytes:
    return zlib.compress(raw, 1)


def decompress(packed: bytes) -> bytes:
    """Raises HostileRowError for what is corrupt, cut off, or a bomb."""
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, MAX_ROW_BYTES)
    except zlib.error as error:
        raise HostileRowError("a corrupt value") from error
    if not unpacker.eof:
        raise HostileRowError("an oversized value, or half of one")
    return raw
