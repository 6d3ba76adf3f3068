"""The memory of the device: how much of it is free, and whether it was too much that was asked of it."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch


def available_bytes() -> int:
    """Free memory of the device that training would use.

    Of several processes each takes its share of all there is: they must come to the same plan, and free memory changes
    while they start.
    """
    import psutil

    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        alone = processes == 1
        return int(torch.cuda.mem_get_info()[0] if alone else torch.cuda.get_device_properties(0).total_memory)
    if processes == 1:
        return host_bytes()
    return int(min(psutil.virtual_memory().total, control_group().limit) // processes)


def host_bytes() -> int:
    """Free memory of the machine, as far as this process may have it."""
    import psutil

    group = control_group()
    return int(min(psutil.virtual_memory().available, group.limit - group.used))  # the kernel's cache of files is free


def held_bytes() -> int:
    """What this process has of the CPU's memory already; nothing where its share is one of all memory."""
    import psutil

    if torch.cuda.is_available() or int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        return 0
    return int(psutil.Process().memory_info().rss)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlGroup:
    """The memory that a container, or another group of processes, may use, and how much of it is in use."""

    limit: float
    used: float


def control_group(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> ControlGroup:
    """The tightest of the groups that this process is in, and nothing but no limit where there are none.

    psutil knows the machine alone. Both versions of Linux's control groups are read.
    """
    tightest = ControlGroup(limit=math.inf, used=0)
    for folder in _groups(root, membership):
        names = ("memory.max", "memory.current", "inactive_file")
        if not (folder / names[0]).is_file():
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit, used = (_number(folder / name) for name in names[:2])
        if limit is None or used is None:
            continue
        cached = _statistics(folder / "memory.stat").get(names[2], 0)  # of files, and given back when it is needed
        group = ControlGroup(limit=limit, used=max(0, used - cached))
        if group.limit - group.used < tightest.limit - tightest.used:
            tightest = group
    return tightest


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """The folders of the process's groups, and of those that they are in."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        inner = top / path.lstrip("/")
        yield inner
        yield from (outer for outer in inner.parents if outer == top or top in outer.parents)


def _number(file: Path) -> int | None:
    """None where there is no such file, or no limit."""
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # "max"
        return None


def _statistics(file: Path) -> dict[str, int]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, _, value in (line.partition(" ") for line in lines)}


def ran_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()  # the CPU's and Apple's allocators raise RuntimeError
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def free_memory() -> None:
    """Give back what the allocator keeps of a batch that failed."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
