"""Many programs, each in a sandbox of its own."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from collab_sdk.sandbox.isolation import Isolation, find_isolation
from collab_sdk.sandbox.limits import ProgramLimits
from collab_sdk.sandbox.process import ProgramRun, run_program


class Sandbox:
    """Runs Python programs that nobody has read, as many at once as there are processors.

    Each has its own processes, directory and limits, no network, and nothing of this machine but Python and what is
    installed. Raises UsageError where no isolation is to be had.
    """

    def __init__(self, *, limits: ProgramLimits = ProgramLimits(), isolation: Isolation | None = None) -> None:  # noqa: B008 - frozen
        self.limits = limits
        self._isolation = isolation or find_isolation()
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="collab-sandbox")

    def run(self, program: str) -> ProgramRun:
        """Run one program to its end. Raises SandboxError if it was not even started."""
        with self._isolation(self.limits) as launch:
            return run_program(launch, program, self.limits)

    async def arun(self, program: str) -> ProgramRun:
        """Run one program to its end. Raises SandboxError if it was not even started."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.run, program)
