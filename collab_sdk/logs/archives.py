"""What is in a log: itself, decompressed, or the files of an archive in it. Nothing is unpacked to where it says."""

import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, Self, cast

from collab_sdk.errors import InputError, NotALogError
from collab_sdk.files import reason
from collab_sdk.logs.compressed import CHUNK, Expanding, Readable, decompressed
from collab_sdk.logs.sources import is_log_name, peek

Report = Callable[[InputError], None]

_DEEPEST = 4
"""Layers of compression and archives, such as three in `chats.tar.gz` with a `chats.json.gz` in it."""
_MOST_ON_DISK = 1 << 31
"""Bytes that what must be read in any order may take from a pipe or an archive."""
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TAR_AT = 257
_ENCRYPTED = 1
_OF_OFFICE = "[Content_Types].xml"
_WITH_NAMES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_LONGEST_NAMES = 1 << 20
_HAS_LONGER_MAP = 482
"""Where GNU's header of a sparse file says that its map goes on behind it."""
_LONGEST_DIRECTORY = 1 << 25
"""Bytes of the list of a zip archive's files; each of them takes ten times as many in memory."""
_SHOWN_NAME = 300
"""Letters of the name of a file in an archive; of a longer one, its beginning and its end."""


class Part(NamedTuple):
    """A file of its own."""

    name: str
    """As messages have it: of the log, and behind it of the file in its archive."""
    log: io.BufferedReader


def parts(name: str, log: io.BufferedReader, report: Report, *, depth: int = 0) -> Iterator[Part]:
    """The files in the log, without those that are hidden or lead out of their archive. Raises OSError, InputError."""
    beginning = peek(log)
    if depth > _DEEPEST:
        raise InputError(f"archives in archives, more than {_DEEPEST} deep; unpack it first", where=name)
    try:
        inside = decompressed(log, beginning)
    except InputError as error:
        raise InputError(error.problem, where=name) from None
    if inside is not None:
        yield from parts(name, inside, report, depth=depth + 1)
    elif beginning.startswith(_ZIP):
        yield from _of_zip(name, log, report, depth)
    elif beginning[_TAR_AT:].startswith(b"ustar"):
        yield from _of_tar(name, log, report, depth)
    else:
        yield Part(name, log)


@contextmanager
def in_any_order(log: io.BufferedReader) -> Iterator[BinaryIO]:
    """The log as a file that can be read at any place: itself, or a copy that is deleted."""
    if log.seekable():
        yield log
        return
    with tempfile.TemporaryFile(prefix="collab-") as copy:
        while piece := log.read1(CHUNK):
            copy.write(piece)
            if copy.tell() > _MOST_ON_DISK:
                raise OSError(f"more than {_MOST_ON_DISK >> 30} GiB in a pipe or an archive; make it a file of its own")
        copy.seek(0)
        yield cast(BinaryIO, copy)


def _of_zip(name: str, log: io.BufferedReader, report: Report, depth: int) -> Iterator[Part]:
    with in_any_order(log) as file, _opened_zip(file, name) as archive:
        files = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
        if not files:
            raise NotALogError("not a chat log: an empty archive", where=name)
        if any(info.filename == _OF_OFFICE for info in files):
            raise InputError("a workbook or document of an office program; save its table as CSV", where=name)
        encrypted = sum(bool(info.flag_bits & _ENCRYPTED) for info in files)
        if encrypted:
            which = "an encrypted archive" if encrypted == len(files) else f"{encrypted} files are encrypted"
            report(InputError(f"{which}; unpack it with its password first", where=name))
        for info in files:
            if info.flag_bits & _ENCRYPTED or not _is_read(name, info.filename, report):
                continue
            with _reported(_inside(name, info.filename), report), archive.open(info) as opened:
                yield from _of_file(_inside(name, info.filename), opened, info.compress_size, report, depth)


def _opened_zip(file: BinaryIO, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(cast(BinaryIO, _Bounded(file)))
    except Exception as error:  # of many kinds, for a directory of files that is damaged
        raise InputError(f"a zip archive that cannot be opened: {reason(error)}", where=name) from None


def _of_tar(name: str, log: io.BufferedReader, report: Report, depth: int) -> Iterator[Part]:
    with _reported(name, report), tarfile.open(fileobj=log, mode="r|", tarinfo=_TarInfo) as archive:
        info = None
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep them all
            if info.isreg() and _is_read(name, info.name, report) and (opened := archive.extractfile(info)):
                with _reported(_inside(name, info.name), report):
                    if info.issparse():  # holes of any size, which the size of the archive says nothing of
                        raise InputError("a sparse file, which is read only where it is a file of its own")
                    yield from _of_file(_inside(name, info.name), opened, info.size, report, depth)
        if info is None:
            raise NotALogError("not a chat log: an empty archive")


def _of_file(name: str, opened: Readable, size: int, report: Report, depth: int) -> Iterator[Part]:
    yield from parts(name, io.BufferedReader(Expanding(opened, lambda: size), CHUNK), report, depth=depth + 1)


class _Bounded:
    """A zip archive of which the list of its files is not read if it would fill the memory: one read for all of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _LONGEST_DIRECTORY:
            raise OSError(f"a list of files of {size:,} bytes")
        return self._file.read(size)


class _TarInfo(tarfile.TarInfo):
    """A header; those with long names for the next one are read whole, and half of one is no end of an archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if 0 < len(buf) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends in the middle of a header")
        header = super().frombuf(buf, encoding, errors)
        if header.type in _WITH_NAMES and header.size > _LONGEST_NAMES:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        if header.type == tarfile.GNUTYPE_SPARSE and buf[_HAS_LONGER_MAP]:
            raise tarfile.ReadError("a sparse file with a map of any length")
        return header

    def _proc_gnusparse_10(self, next: tarfile.TarInfo, *_: object) -> None:
        """Leave the map of a sparse file where it is: it may have any length, and the file is not read."""
        next.sparse = b""


@contextmanager
def _reported(name: str, report: Report) -> Iterator[None]:
    """What is wrong with a file in an archive costs the others nothing."""
    try:
        yield
    except InputError as error:
        report(type(error)(error.problem, where=error.where or name))
    except Exception as error:  # each kind of archive has its own
        report(InputError(f"cannot be read: {reason(error)}", where=name))


def _is_read(archive: str, name: str, report: Report) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0][1:2]:
        report(InputError("its path leads out of the archive; left out", where=_inside(archive, name)))
        return False
    return is_log_name(path) and "__MACOSX" not in path.parts


def _inside(archive: str, name: str) -> str:
    """What messages call a file of the archive."""
    if len(name) > _SHOWN_NAME:
        name = f"{name[: _SHOWN_NAME // 3]}...{name[-_SHOWN_NAME * 2 // 3 :]}"
    return f"{archive}/{''.join(letter if letter.isprintable() else '?' for letter in name)}"
