"""Isolation by docker, where neither bubblewrap nor user namespaces are to be had."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from collab_sdk.sandbox.launch import BOX, ENVIRONMENT, Launch, installed, runner
from collab_sdk.sandbox.limits import ProgramLimits

IMAGE = "python:3.12-slim"
"""Never pulled: a program that is to be judged must not start a download."""


@contextmanager
def docker(limits: ProgramLimits) -> Iterator[Launch]:
    """A container of its own. What is installed on this machine is not in it."""
    executable = installed("docker")
    name = f"collab-{secrets.token_hex(8)}"
    box = f"size={limits.disk},mode=1777"
    walls = {
        "--name": name,
        "--pull": "never",
        "--network": "none",
        "--user": "65534:65534",
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--memory": str(limits.memory),
        "--memory-swap": str(limits.memory),
        "--pids-limit": str(limits.processes),
        "--tmpfs": f"{BOX}:{box}",
        "--workdir": BOX,
    }
    variables = [part for name, value in ENVIRONMENT.items() if name != "PATH" for part in ("--env", f"{name}={value}")]
    options = [part for pair in walls.items() for part in pair]
    try:
        yield Launch(
            command=(
                *(executable, "run", "--rm", "--interactive", "--init", "--read-only"),
                *(*options, *variables, IMAGE),
                *runner(limits, python="python3"),
            )
        )
    finally:  # killing the client, as a limit does, leaves the container running
        subprocess.run([executable, "kill", name], capture_output=True, check=False)  # noqa: S603
