"""Files that appear under their name only when they are complete."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from collab_sdk.errors import OutputError
from collab_sdk.files.inputs import NO_INPUTS, Inputs
from collab_sdk.files.json_text import to_json
from collab_sdk.files.names import PARTIAL
from collab_sdk.files.system import reason

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class TextWriter:
    """Text to a file, or to stdout for `-`; to be used with `with`.

    It goes to `<path>.partial`, which is opened at once and flushed with each piece. A clean end renames it; after an
    exception it stays, unless nothing was written. Only its owner can read it (0600), whatever the mode of a file that
    it replaces. Raises OutputError for whatever cannot be written, for one of `inputs`, for an SQLite database, and
    where another writer is at work on the same file.
    """

    def __init__(self, path: str | Path, *, inputs: Inputs = NO_INPUTS) -> None:
        self._name = str(path)
        self._partial: Path | None = None
        if self._name == "-":
            check_stdout()
            with self._explained():
                sys.stdout.flush()  # text printed so far comes first
            self._file: BinaryIO = sys.stdout.buffer
            return
        inputs.check([Path(path)])
        with self._explained():
            self._target = Path(path).resolve()  # through a link, to the file that is to be replaced
            if problem := _obstacle(self._target):
                raise OutputError(f"Cannot write {self._name}: {problem}.")
            self._partial = self._target.with_name(self._target.name + PARTIAL)
            self._file = _open_alone(self._partial)

    def write_text(self, text: str) -> None:
        self.write_bytes(text.encode(errors="replace"))

    def write_bytes(self, data: bytes) -> None:
        with self._explained():
            self._file.write(data)
            self._file.flush()

    def discard(self) -> None:
        """Write nothing after all: a file that is there under the name stays as it is."""
        if self._partial is not None:
            with self._explained(), self._file:
                self._partial.unlink()
            self._partial = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._partial is None:
            return
        if kind is not None:
            with suppress(OSError), self._file:  # the first error is the one to hear about
                if not self._file.tell():
                    self._partial.unlink()
            return
        with self._explained(), self._file:
            os.fsync(self._file.fileno())
            if fcntl is None:
                self._file.close()  # Windows renames no open file
            self._partial.replace(self._target)  # still locked: nobody else may have emptied it by now

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """System errors as one OutputError, except that nobody reads stdout any more, which is no failure of ours."""
        try:
            yield
        except BrokenPipeError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            if self._name == "-":
                raise stdout_error(error) from error
            raise OutputError(f"Cannot write {self._name}: {reason(error)}.") from error


def check_stdout() -> None:
    """Raise OutputError where stdout is closed."""
    if sys.__stdout__ is None:
        raise OutputError("Cannot write to stdout: it is closed. Name a file.")


def stdout_error(error: Exception) -> OutputError:
    """What to say where stdout takes no more, as on a full disk."""
    return OutputError(
        f"Cannot write to stdout: {reason(error)}. Send it to another place and run the same command again: what was "
        "paid for is kept."
    )


class JsonlWriter(TextWriter):
    """JSON lines, row by row. The same rows give the same bytes."""

    def write(self, row: Mapping[str, Any]) -> None:
        try:
            line = to_json(row) + "\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise OutputError(f"Cannot write {self._name}: a row is no JSON: {error}.") from error
        self.write_text(line)


NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
"""A link where our own unfinished file would be leads to somebody else's."""


def _open_alone(partial: Path) -> BinaryIO:
    """The file, emptied once no other writer can have it. Raises BlockingIOError if one has."""
    while True:
        opened = os.open(partial, os.O_CREAT | os.O_RDWR | NO_LINKS, 0o600)
        file = os.fdopen(opened, "wb")  # of a descriptor, wb empties nothing
        try:
            if _lock(file) and not _is_at(partial, file):
                file.close()  # its writer has just finished and renamed it
                continue
            file.truncate()
            _make_private(file)
        except BaseException:
            file.close()
            raise
        return file


def _lock(file: BinaryIO) -> bool:
    """Whether the file could be locked; its closing unlocks it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError("another run is writing this file") from None
    except OSError:  # a file system without locks
        return False
    return True


def _make_private(file: BinaryIO) -> None:
    """What an earlier run left may have had another mode."""
    if hasattr(os, "fchmod"):  # not on Windows
        with suppress(OSError):  # a file system without modes
            os.fchmod(file.fileno(), 0o600)


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _obstacle(target: Path) -> str:
    """Why the target cannot be created or replaced; empty if it can."""
    if target.is_dir():
        return "it is a folder"
    if not target.parent.is_dir():
        return f"the folder {target.parent} does not exist"
    if target.exists() and not target.is_file():
        return "it is not a regular file; for stdout, write to -"  # a rename would replace /dev/null itself
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        return "permission denied"
    return ""
