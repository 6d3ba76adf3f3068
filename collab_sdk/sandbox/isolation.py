"""Which isolation this machine offers: found out by running a program in it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from types import MappingProxyType

from collab_sdk.errors import SandboxError, UsageError
from collab_sdk.sandbox.bubblewrap import bubblewrap
from collab_sdk.sandbox.docker import IMAGE, docker
from collab_sdk.sandbox.launch import ENVIRONMENT, Launch, package_folders, runner
from collab_sdk.sandbox.limits import ProgramLimits
from collab_sdk.sandbox.namespaces import namespaces
from collab_sdk.sandbox.process import run_program

Isolation = Callable[[ProgramLimits], AbstractContextManager[Launch]]
ISOLATIONS: Mapping[str, Isolation] = MappingProxyType(
    {"bubblewrap": bubblewrap, "namespaces": namespaces, "docker": docker}
)
"""Strongest first. To use one is to enter it; the program's walls are down when it is left."""
ABSENT = (
    "There is nothing here to run a model's code in safely: install bubblewrap (apt-get install bubblewrap), allow "
    f"user namespaces, or start docker with the image {IMAGE}. On a machine that may be harmed: --unsafe-exec."
)
PROBE = "assert 6 * 7 == 42"


@cache
def find_isolation(*, unsafe_allowed: bool = False) -> Isolation:
    """The strongest isolation that works here. Raises UsageError if there is none, unless `unsafe_allowed`."""
    for isolation in ISOLATIONS.values():
        if works(isolation):
            return isolation
    if unsafe_allowed:
        return unsafe
    raise UsageError(ABSENT)


def works(isolation: Isolation) -> bool:
    """Whether a harmless program comes to its end in it."""
    limits = ProgramLimits()
    try:
        with isolation(limits) as launch:
            return run_program(launch, PROBE, limits).finished
    except (SandboxError, OSError):  # what it needs is not installed, or not permitted
        return False


@contextmanager
def unsafe(limits: ProgramLimits) -> Iterator[Launch]:
    """No isolation: limits, a clean environment and a directory of its own, and the whole machine within reach.

    For code that is trusted, or a machine that is thrown away afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="collab-") as box:
        environment = ENVIRONMENT | {"HOME": box, "TMPDIR": box}
        yield Launch(
            command=(
                *("/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items())),
                *runner(limits, packages=package_folders()),
            ),
            cwd=box,
        )
