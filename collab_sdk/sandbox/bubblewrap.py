"""Isolation by bubblewrap, as root and as an ordinary user."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collab_sdk.sandbox.launch import (
    BOX,
    ENVIRONMENT,
    Launch,
    below_shell,
    installed,
    package_folders,
    readable_folders,
    runner,
)
from collab_sdk.sandbox.limits import ProgramLimits
from collab_sdk.sandbox.nobody import as_nobody, without_rights

ROOT = tuple(part for name in ("SETUID", "SETGID", "SETPCAP") for part in ("--cap-add", f"CAP_{name}"))
"""What root needs to stop being root."""
ORDINARY = ("--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-add", "CAP_SETPCAP")
"""The right is one that the first process has and the program has not: equals could write in each other's memory."""


@contextmanager
def bubblewrap(limits: ProgramLimits) -> Iterator[Launch]:
    """Namespaces of its own, a file system that only has what is needed, read-only.

    Root becomes a user that nobody else is, since the kernel holds root to no number of processes.
    """
    is_root = os.geteuid() == 0
    user = ROOT if is_root else ORDINARY
    program = runner(limits, packages=package_folders())
    yield Launch(
        command=(
            installed("bwrap"),
            *user,
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *("--as-pid-1", "--die-with-parent", "--new-session", "--clearenv"),
            *(part for name, value in ENVIRONMENT.items() for part in ("--setenv", name, value)),
            *_files(limits),
            "--",
            *below_shell(as_nobody(program) if is_root else (*without_rights(), *program)),
        )
    )


def _files(limits: ProgramLimits) -> Iterator[str]:
    size = ("--perms", "1777", "--size", str(limits.disk), "--tmpfs")
    yield from ("--proc", "/proc", "--dev", "/dev", *size, "/dev/shm")  # noqa: S108
    yield from (
        "--ro-bind",
        "/dev/null",
        "/dev/zero",
    )  # cannot be opened: mapped, it is memory that nobody is charged for
    yield from ("--remount-ro", "/dev", *size, BOX)
    folders = [Path(name) for name in readable_folders()]  # behind the box: Python may be installed below /tmp
    for parent in sorted({parent for folder in folders for parent in folder.parents} - {Path("/"), Path(BOX)}):
        yield from ("--perms", "0755", "--dir", str(parent))  # left to bubblewrap, only root could pass
    for folder in folders:
        if folder.is_symlink():
            yield from ("--symlink", str(folder.readlink()), str(folder))
        else:
            yield from ("--ro-bind", str(folder), str(folder))
    yield from ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--remount-ro", "/", "--chdir", BOX)
