"""A process and all that it started, as Linux shows them under /proc."""

import os
import select
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
LONGEST = 10_000
"""Milliseconds that a killed process may take to go."""


def children(pid: int) -> list[int]:
    """None where the system does not say."""
    found: list[int] = []
    with suppress(OSError):  # it has ended
        for thread in (Path("/proc") / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def resident_memory(pid: int) -> int:
    """Bytes of the process and its descendants, shared pages counted for each; 0 where the system does not say.

    What daemonised inside a sandbox still counts: its first process takes in orphans.
    """
    waiting, pages = [pid], 0
    while waiting:
        process = waiting.pop()
        waiting += children(process)
        with suppress(OSError):
            pages += int((Path("/proc") / str(process) / "statm").read_text().split()[1])
    return pages * PAGE


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
