"""Programs a second through each isolation that this machine offers: `python benchmarks/sandbox.py`."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from collab_sdk.sandbox import ISOLATIONS, ProgramLimits, Sandbox, works
from collab_sdk.sandbox.isolation import unsafe

PROGRAMS = 200
PROGRAM = "def f(x):\n    return 2 * x\n\nassert f(2) == 4"


def programs_a_second(sandbox: Sandbox, at_once: int) -> float:
    with ThreadPoolExecutor(at_once) as threads:
        started = time.perf_counter()
        runs = list(threads.map(sandbox.run, [PROGRAM] * PROGRAMS))
        seconds = time.perf_counter() - started
    if not all(run.finished for run in runs):
        sys.exit("A program that should finish did not.")
    return PROGRAMS / seconds


def main() -> None:
    offered = {name: isolation for name, isolation in ISOLATIONS.items() if works(isolation)}
    for name, isolation in {**offered, "none (--unsafe-exec)": unsafe}.items():
        sandbox = Sandbox(limits=ProgramLimits(), isolation=isolation)
        for at_once in (1, os.cpu_count() or 1):
            print(f"{name:<22} {at_once} at once: {programs_a_second(sandbox, at_once):6.1f} programs a second")


if __name__ == "__main__":
    main()
