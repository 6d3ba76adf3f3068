"""Compressed logs, decompressed piece by piece: gzip, bzip2, xz and Zstandard, told by their first bytes."""

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable
from typing import Any, Protocol, cast

from collab_sdk.errors import InputError

CHUNK = 1 << 16
FREE = 1 << 28
"""Bytes that any file may expand to."""
MOST = 1000
"""How many times its size more than that may be. Logs come to a tenth of it; gzip of nothing but zeros to 1030."""
_XZ_MEMORY = 1 << 27
"""Bytes; the highest setting of xz needs half of it."""
_ZSTANDARD_STEP = 1 << 10
"""Bytes that expand to 32 MiB at most."""

_MAGIC = re.compile(rb"(?P<gzip>\x1f\x8b)|(?P<bzip2>BZh[1-9]1AY&SY)|(?P<xz>\xfd7zXZ\0)|(?P<zstd>\x28\xb5\x2f\xfd)")
_REFUSED = re.compile(
    rb"(?P<lz4>\x04\x22\x4d\x18)|(?P<z>\x1f\x9d)|(?P<snappy>\xff\x06\0\0sNaPpY)|(?P<sevenzip>7z\xbc\xaf\x27\x1c)|(?P<rar>Rar!)"
)
_WAYS_OUT = {
    "lz4": "compressed with lz4; decompress it first (lz4 -d)",
    "z": "compressed with compress; decompress it first (gzip -d)",
    "snappy": "compressed with Snappy; decompress it first",
    "sevenzip": "a 7z archive; unpack it first (7z x)",
    "rar": "a RAR archive; unpack it first (unrar x)",
}


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Decompressor(Protocol):
    """As those of bz2 and lzma are."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decompressed(log: io.BufferedReader, beginning: bytes) -> io.BufferedReader | None:
    """What is in the log if it is compressed, else None. Raises InputError where that cannot be read here."""
    if refused := _REFUSED.match(beginning):
        raise InputError(_WAYS_OUT[cast(str, refused.lastgroup)])
    found = _MAGIC.match(beginning)
    if found is None:
        return None
    counted = _Counted(log)
    opened = _OPENERS[cast(str, found.lastgroup)](counted)
    return io.BufferedReader(Expanding(opened, lambda: counted.count), CHUNK)


class Expanding(io.RawIOBase):
    """Reads what something compressed expands to; what would fill the machine is an OSError, and so is damage."""

    def __init__(self, opened: Readable, size: Callable[[], int]) -> None:
        # What there is before the place of an error is given first.
        self._read: Callable[[int], bytes] = getattr(opened, "read1", opened.read)
        self._size = size
        """How many bytes it has expanded by now."""
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._read(len(buffer))
        except (OSError, EOFError):
            raise
        except Exception as error:  # each kind of archive and each library has its own
            raise OSError(str(error) or type(error).__name__) from None
        self._count += len(piece)
        if self._count > FREE and self._count > MOST * self._size():
            raise OSError(f"it expands to more than {MOST:,} times its size")
        buffer[: len(piece)] = piece
        return len(piece)


class _Counted:
    """A log that counts what is read of it, and never waits for more than there is."""

    def __init__(self, log: io.BufferedReader) -> None:
        self._log = log
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._log.read1(size)
        self.count += len(piece)
        return piece

    def readable(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        return False


class _Streams:
    """What a decompressor makes of one compressed stream after the other, fed with `step` bytes at a time."""

    def __init__(self, log: Readable, begin: Callable[[], _Decompressor], step: int = CHUNK) -> None:
        self._log = log
        self._begin = begin
        self._step = step
        self._decompressor = begin()
        self._ready, self._given = b"", 0
        """What has been decompressed, and how much of it has been read."""

    def read(self, size: int) -> bytes:
        while self._given == len(self._ready):
            data = b""
            if self._decompressor.eof:
                data = (self._decompressor.unused_data or self._log.read(self._step)).lstrip(b"\0")  # xz pads with them
                if not data:
                    return b""
                self._decompressor = self._begin()
            elif self._decompressor.needs_input and not (data := self._log.read(self._step)):
                raise EOFError("it ends before its compressed data does")
            self._ready, self._given = self._decompressor.decompress(data, size), 0
        piece = self._ready[self._given : self._given + size]
        self._given += len(piece)
        return piece


class _Zstandard:
    """The decompressor of the package zstandard; it gives all that it makes of its input at once."""

    needs_input = True

    def __init__(self, decompressor: Any) -> None:
        self._decompressor = decompressor

    @property
    def eof(self) -> bool:
        return bool(self._decompressor.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decompressor.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._decompressor.decompress(data))


def _open_zstandard(log: _Counted) -> Readable:
    try:
        import zstandard
    except ImportError:
        pass
    else:
        return _Streams(log, lambda: _Zstandard(zstandard.ZstdDecompressor().decompressobj()), _ZSTANDARD_STEP)
    try:
        import pyarrow
    except ImportError:
        raise InputError("compressed with Zstandard; pip install zstandard, or decompress it first (zstd -d)") from None
    return cast(Readable, pyarrow.CompressedInputStream(pyarrow.PythonFile(log, mode="r"), "zstd"))


_OPENERS: dict[str, Callable[[_Counted], Readable]] = {
    "gzip": lambda log: cast(Readable, gzip.GzipFile(fileobj=cast(Any, log))),
    "bzip2": lambda log: _Streams(log, bz2.BZ2Decompressor),
    "xz": lambda log: _Streams(log, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY)),
    "zstd": _open_zstandard,
}
