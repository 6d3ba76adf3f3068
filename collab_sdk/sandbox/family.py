"""A process and all that it started, as Linux shows them under /proc."""

import os
import select
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
LONGEST = 10_000
"""Milliseconds that a killed process may take to go."""


def children(pid: int) -> list[int]:
    """None where the system does not say."""
    found: list[int] = []
    with suppress(OSError):  # it has ended
        for thread in (PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def resident_memory(pid: int) -> int:
    """Bytes of the process and its descendants, shared pages counted for each; 0 where the system does not say.

    What daemonised inside a sandbox still counts: its first process takes in orphans.
    """
    pages = 0
    for process in _with_descendants(pid):
        with suppress(OSError):
            pages += int((PROC / str(process) / "statm").read_text().split()[1])
    return pages * PAGE


def socket_memory(pid: int) -> int:
    """Bytes that the kernel may hold for the sockets of the process and its descendants, and that it charges to nobody.

    Those of a network namespace of their own are counted, each with the most that may wait in it to be read; 0 where
    they have none, or the system does not say.
    """
    for process in _with_descendants(pid):
        with suppress(OSError, ValueError, StopIteration):
            if (PROC / str(process) / "ns/net").readlink() == (PROC / "self/ns/net").readlink():
                continue
            lines = (PROC / str(process) / "net/sockstat").read_text().splitlines()
            used = next(int(line.split()[-1]) for line in lines if line.startswith("sockets:"))
            return used * 2 * int((PROC / "sys/net/core/wmem_max").read_text())  # twice: socket(7), SO_SNDBUF
    return 0


def _with_descendants(pid: int) -> Iterator[int]:
    waiting = [pid]
    while waiting:
        process = waiting.pop()
        waiting += children(process)
        yield process


def kill(pids: Iterable[int]) -> None:
    """End these processes and wait until they have gone. With the first of a namespace go all others in it."""
    for pid in pids:
        with suppress(OSError):  # it has ended
            handle = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                going = select.poll()  # select itself knows no descriptor above 1023
                going.register(handle, select.POLLIN)
                going.poll(LONGEST)
            finally:
                os.close(handle)
