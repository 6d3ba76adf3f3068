"""Sandboxes as this user, and for root also as an ordinary one."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from typing import Any, Self

from collab_sdk.errors import SandboxError
from collab_sdk.sandbox import ProgramEnd, ProgramLimits, ProgramRun, Sandbox
from collab_sdk.sandbox.isolation import ISOLATIONS, works
from support.paths import ROOT

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env")
"""`env` last, as what setpriv itself starts is still found with root's rights."""
Run = Callable[..., ProgramRun]
WORKER = """
import json, sys
from collab_sdk.sandbox import ProgramLimits, Sandbox
from collab_sdk.sandbox.isolation import ISOLATIONS, works
isolation = ISOLATIONS[sys.argv[1]]
print(json.dumps(works(isolation)), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    run = Sandbox(isolation=isolation, limits=ProgramLimits(**job["limits"])).run(job["program"])
    print(json.dumps({"end": run.end, "output": run.output, "seconds": run.seconds}), flush=True)
"""
"""Kept simple: it may run under the system's own Python."""


def as_this_user(isolation: str) -> Run:
    """Raises SandboxError if the isolation does not work here."""
    if not works(ISOLATIONS[isolation]):
        raise SandboxError(f"{isolation} does not work here")
    walls = ISOLATIONS[isolation]
    return lambda program, **limits: Sandbox(isolation=walls, limits=ProgramLimits(**limits)).run(program)


class OrdinaryUser:
    """Runs programs in a process of the user `nobody`; only root can do that.

    Raises SandboxError if the isolation does not work for that user, or no Python here can be run by everybody.
    """

    def __init__(self, isolation: str) -> None:
        python = _python_for_everybody()
        if os.geteuid() or python is None:
            raise SandboxError("only root can become an ordinary user, with a Python that everybody may run")
        self._process = subprocess.Popen(
            [*NOBODY, python, "-c", WORKER, isolation],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
            cwd="/",
        )
        if not self._answer():
            self.close()
            raise SandboxError(f"{isolation} does not work for an ordinary user here")

    def __call__(self, program: str, **limits: Any) -> ProgramRun:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"program": program, "limits": limits}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return ProgramRun(end=ProgramEnd(answer["end"]), output=answer["output"], seconds=answer["seconds"])

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or "null")


@cache
def _python_for_everybody() -> str | None:
    """An interpreter with which `nobody` can import the package: a virtual environment may lie in a private home."""
    known = (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin"))
    for python in filter(None, known):
        try:
            code = "import collab_sdk.sandbox"
            subprocess.run([*NOBODY, python, "-c", code], env=_environment(), cwd="/", check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return str(python)
    return None


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{sysconfig.get_paths()['purelib']}"}
