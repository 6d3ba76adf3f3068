"""Single flight across processes: whoever holds the lease of a key makes the call, the others wait for its result."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

FIRST_POLL, LAST_POLL = 0.01, 0.2


def pauses() -> Iterator[float]:
    """Seconds between one try to get a lease and the next."""
    pause = FIRST_POLL
    while True:
        yield pause
        pause = min(pause * 2, LAST_POLL)


class FileLeases:
    """Leases as locks on single bytes of one file, at an offset made from the key.

    The kernel gives them up when their holder dies, however it dies: no clocks, nothing to clean up. Where it has no
    such locks (they are Linux's open-file-description locks) every lease is granted, and two processes may pay for
    the same call.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Wait for the lease of `key`, a hexadecimal digest, and hold it."""
        offset = int(key[:15], 16)
        for pause in pauses():
            if self._try_lock(offset):
                break
            await asyncio.sleep(pause)
        try:
            yield
        finally:
            self._unlock(offset)

    def close(self) -> None:
        os.close(self._file)

    def _try_lock(self, offset: int) -> bool:
        fcntl = _fcntl()
        if fcntl is None:
            return True
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, offset))
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def _unlock(self, offset: int) -> None:
        fcntl = _fcntl()
        if fcntl is not None:
            try:
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, offset))
            except OSError:
                return


def _fcntl() -> Any:
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    return fcntl if hasattr(fcntl, "F_OFD_SETLK") else None


def _flock(kind: int, offset: int) -> bytes:
    """C's `struct flock`: type, whence, start, length, pid."""
    return struct.pack("hhqqi", kind, os.SEEK_SET, offset, 1, 0)
