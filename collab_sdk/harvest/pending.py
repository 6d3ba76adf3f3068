"""How many calls a process has taken and not yet written, in a file that a kill leaves behind."""

import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COUNTERS = struct.Struct("<QQ")


class Pending:
    """Two counters, taken and settled, in memory that the kernel keeps as a file when the process is killed.

    The file is locked for as long as the process lives: whoever gets the lock knows that it is dead. Raises OSError.
    """

    def __init__(self, store: Path) -> None:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        making = store.with_name(f"{store.name}-making-{name}")
        self._path = store.with_name(f"{store.name}-pending-{name}")
        self._file = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _try_lock(self._file)
            os.write(self._file, COUNTERS.pack(0, 0))
            self._counters = mmap.mmap(self._file, COUNTERS.size)
            making.rename(self._path)  # now it can be found, and it is locked
        except BaseException:
            os.close(self._file)
            making.unlink(missing_ok=True)
            raise

    def set(self, taken: int, settled: int) -> None:
        COUNTERS.pack_into(self._counters, 0, taken, settled)

    def close(self) -> None:
        """Everything is settled: nothing to tell."""
        self._path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Let go of a file that is another process's, the one this was forked from."""
        self._counters.close()
        os.close(self._file)


def collect_lost(store: Path) -> int:
    """How many calls died in the queues of processes that were killed; each is told once."""
    return sum(_lost_in(path) for path in _files(store))


def _files(store: Path) -> Iterator[Path]:
    prefix = f"{store.name}-pending-"
    return (path for path in store.parent.iterdir() if path.name.startswith(prefix))


def _lost_in(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:  # another process was first
        return 0
    try:
        if not _try_lock(file) or not path.exists():
            return 0
        content = os.read(file, COUNTERS.size)
        path.unlink(missing_ok=True)
    except OSError:
        return 0
    finally:
        os.close(file)
    if len(content) < COUNTERS.size:
        return 0
    taken, settled = COUNTERS.unpack(content)
    return max(0, int(taken) - int(settled))


def _try_lock(file: int) -> bool:
    fcntl = _fcntl()
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _fcntl() -> Any:
    try:
        import fcntl
    except ImportError:  # Windows, where losses stay uncounted
        return None
    return fcntl
