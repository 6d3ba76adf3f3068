"""How the runner is started: with which interpreter, and what it may see."""

import shutil
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from collab_sdk.errors import SandboxError
from collab_sdk.sandbox.limits import ProgramLimits
from collab_sdk.sandbox.syscalls import syscall_filter

BOX = "/tmp"  # noqa: S108 - inside the sandbox, where it is nobody else's
"""The throw-away directory, as the program sees it."""
ENVIRONMENT = {
    "HOME": BOX,
    "TMPDIR": BOX,
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # the same program, the same verdict
    "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "Agg",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
"""All that a program finds in its environment. Libraries' thread pools would count against its processes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """A command that runs one program, and the directory that it starts in."""

    command: tuple[str, ...]
    cwd: str = "/"


def runner(limits: ProgramLimits, *, python: str = "", packages: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The runner as a command. `packages` are folders to import from, behind the standard library."""
    numbers = (limits.cpu_seconds, limits.memory, limits.processes, limits.file_size, limits.open_files)
    # Without `site`, which takes as long as the rest of the start, and would run what .pth files say.
    return (python or interpreter(), "-sSP", "-c", _runner_source(), syscall_filter(), *map(str, numbers), *packages)


def below_shell(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command as the child of a shell, for the first process of a namespace.

    The kernel spares that one the signals that others end by; when it is seen to end, all others have ended. It keeps
    the rights of what started it, which could not end it otherwise.
    """
    return ("/bin/sh", "-c", '"$@"; exit $?', "sh", *command)


def installed(name: str) -> str:
    """Where the program is. Raises SandboxError if it is nowhere."""
    found = shutil.which(name)
    if found is None:
        raise SandboxError(f"{name} is not installed.")
    return found


def interpreter() -> str:
    """This Python, not the virtual environment's link to it."""
    return str(Path(getattr(sys, "_base_executable", None) or sys.executable).resolve())


def package_folders() -> tuple[str, ...]:
    """Where what is installed beside this package lies."""
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys(paths[kind] for kind in ("purelib", "platlib")))


def readable_folders() -> tuple[str, ...]:
    """What a program needs to see of this machine: the system's libraries, Python, and installed packages."""
    system = [name for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64") if Path(name).exists()]
    python = (str(Path(sys.base_prefix).resolve()), *package_folders())
    return tuple(dict.fromkeys([*system, *(name for name in python if not name.startswith("/usr/"))]))


@cache
def _runner_source() -> str:
    return Path(__file__).with_name("runner.py").read_text(encoding="utf-8")
