"""Starting a program and seeing it to its end, whatever it does."""

import os
import secrets
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from collab_sdk.errors import SandboxError
from collab_sdk.sandbox.family import children, kill, resident_memory, socket_memory
from collab_sdk.sandbox.launch import Launch
from collab_sdk.sandbox.limits import ProgramLimits
from collab_sdk.sandbox.runner import READY

POLL = 0.05
"""Seconds between two looks at the memory."""
CHUNK = 65_536
TAIL = 2_000
"""Characters of output that are kept."""
OUT_OF_CPU = {-signal.SIGXCPU, 128 + signal.SIGXCPU}


class ProgramEnd(StrEnum):
    """How a program ended."""

    FINISHED = "finished"
    FAILED = "failed"
    """It raised, left early, or was killed."""
    TIME = "out of time"
    MEMORY = "out of memory"
    OUTPUT = "too much output"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramRun:
    """What became of a program. `output` is the end of what it printed, and no more to be trusted than the program."""

    end: ProgramEnd
    output: str
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether it came to its last line without an exception."""
        return self.end is ProgramEnd.FINISHED


def run_program(
    launch: Launch,
    program: str,
    limits: ProgramLimits,
    *,
    pipes: Sequence[int] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> ProgramRun:
    """Run a program to its end, or until it is `stopped`. It finds the `pipes` open, under the same numbers.

    Raises SandboxError if the program was not even started.
    """
    token = secrets.token_hex(16).encode()
    started = time.monotonic()
    with tempfile.TemporaryFile() as stdin:
        stdin.write(token + b"\n" + program.encode("utf-8", "replace"))
        stdin.seek(0)
        with subprocess.Popen(  # noqa: S603 - that is what this is for
            launch.command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},  # of the isolation too, whose environment the program could read under /proc
            cwd=launch.cwd,
            start_new_session=True,
            pass_fds=pipes,
        ) as process:
            watch = _Watch(process, limits, deadline=started + limits.seconds, stopped=stopped)
            try:
                end = watch.see_through()
            finally:
                _kill(process)
                watch.close()
    report, output = bytes(watch.report), watch.output.decode("utf-8", "replace")[-TAIL:]
    if not report.startswith(READY):
        why = output.strip() or end or f"exit code {process.returncode}"
        raise SandboxError(f"The sandbox did not start: {why}")
    if end is None and process.returncode in OUT_OF_CPU:
        end = ProgramEnd.TIME
    if end is None:
        finished = report == READY + token and process.returncode == 0
        end = ProgramEnd.FINISHED if finished else ProgramEnd.FAILED
    return ProgramRun(end=end, output=output, seconds=time.monotonic() - started)


class _Watch:
    """Reads what a process writes, and looks at the clock and its memory."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        limits: ProgramLimits,
        *,
        deadline: float,
        stopped: Callable[[], bool],
    ) -> None:
        self.report, self.output = bytearray(), bytearray()
        self._process, self._limits, self._deadline, self._stopped = process, limits, deadline, stopped
        self._written = 0
        self._pipes = selectors.DefaultSelector()
        for pipe, buffer in ((process.stdout, self.report), (process.stderr, self.output)):
            assert pipe is not None  # noqa: S101
            self._pipes.register(pipe, selectors.EVENT_READ, buffer)

    def see_through(self) -> ProgramEnd | None:
        """Wait for the end; which limit was passed, if any."""
        limits = self._limits
        while self._process.poll() is None:
            left = self._deadline - time.monotonic()
            if left <= 0 or self._stopped():
                return ProgramEnd.TIME
            self._wait(min(left, POLL))
            if self._written > limits.output:
                return ProgramEnd.OUTPUT
            if resident_memory(self._process.pid) + socket_memory(self._process.pid) > limits.memory:
                return ProgramEnd.MEMORY
        while self._written <= limits.output and self._pipes.get_map() and self._read(0):
            continue  # what it wrote last
        return ProgramEnd.OUTPUT if self._written > limits.output else None

    def close(self) -> None:
        self._pipes.close()

    def _wait(self, seconds: float) -> None:
        if self._pipes.get_map():
            self._read(seconds)
        else:  # it has closed its output, which it does as it ends, or to hide
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def _read(self, seconds: float) -> bool:
        """Read what is there, waiting so long at most; whether there was anything."""
        ready = self._pipes.select(seconds)
        for key, _ in ready:
            chunk = os.read(key.fd, CHUNK)
            self._written += len(chunk)
            key.data.extend(chunk)
            if not chunk:
                self._pipes.unregister(key.fileobj)
        return bool(ready)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End all that is left: inside an isolation the first process and all others with it, without one the group."""
    kill(children(process.pid))
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
