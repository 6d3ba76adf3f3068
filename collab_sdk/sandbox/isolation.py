"""Which isolation this machine offers: found out by running a program in it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from types import MappingProxyType

from collab_sdk.errors import SandboxError, UsageError
from collab_sdk.sandbox.bubblewrap import bubblewrap
from collab_sdk.sandbox.docker import IMAGE, docker
from collab_sdk.sandbox.launch import Launch
from collab_sdk.sandbox.limits import Limits
from collab_sdk.sandbox.namespaces import namespaces
from collab_sdk.sandbox.process import run_program
from collab_sdk.sandbox.unsafe import unsafe

Isolation = Callable[[Limits], AbstractContextManager[Launch]]
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
    limits = Limits()
    try:
        with isolation(limits) as launch:
            return run_program(launch, PROBE, limits).finished
    except (SandboxError, OSError):  # what it needs is not installed, or not permitted
        return False
