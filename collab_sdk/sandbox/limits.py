"""What a program may use up."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramLimits:
    """Sizes are in bytes. The defaults are ample for a benchmark's tests, and for a hostile program little."""

    seconds: float = 20.0
    """By the clock."""
    cpu_seconds: int = 10
    """Of each process."""
    memory: int = 1024 * MIB
    """Address space of each process, and what all of them together may keep resident, or waiting in sockets."""
    processes: int = 32
    """Threads among them."""
    file_size: int = 32 * MIB
    disk: int = 64 * MIB
    """All files together, which lie in memory."""
    open_files: int = 128
    output: int = MIB
