"""No isolation: limits, a clean environment and a directory of its own, and the whole machine within reach."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from collab_sdk.sandbox.launch import ENVIRONMENT, Launch, package_folders, runner
from collab_sdk.sandbox.limits import Limits


@contextmanager
def unsafe(limits: Limits) -> Iterator[Launch]:
    """For code that is trusted, or a machine that is thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="collab-") as box:
        environment = ENVIRONMENT | {"HOME": box, "TMPDIR": box}
        yield Launch(
            command=(
                *("/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items())),
                *runner(limits, packages=package_folders()),
            ),
            cwd=box,
        )
