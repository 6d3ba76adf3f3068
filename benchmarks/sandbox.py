"""Programs a second through each isolation that this machine offers: `python benchmarks/sandbox.py`.

A plain program runs in one process. `pass_rate` runs tests apart from the code that they test, or together with it, and
takes two.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from collab_sdk.sandbox import ISOLATIONS, ProgramLimits, Sandbox, works
from collab_sdk.sandbox.isolation import unsafe
from collab_sdk.sandbox.testing import tests_apart, tests_together

PROGRAMS = 60
CODE, TESTS = "def f(x):\n    return 2 * x\n", "assert f(2) == 4"
KINDS = {
    "one program": f"{CODE}\n{TESTS}",
    "tests apart": tests_apart("", CODE, TESTS, unfit="unfit"),
    "tests together": tests_together("", CODE, TESTS),
}


def programs_a_second(sandbox: Sandbox, program: str, at_once: int) -> float:
    with ThreadPoolExecutor(at_once) as threads:
        started = time.perf_counter()
        runs = list(threads.map(sandbox.run, [program] * PROGRAMS))
        seconds = time.perf_counter() - started
    if not all(run.finished for run in runs):
        sys.exit("A program that should finish did not.")
    return PROGRAMS / seconds


def main() -> None:
    offered = {name: isolation for name, isolation in ISOLATIONS.items() if works(isolation)}
    for name, isolation in {**offered, "none (--unsafe-exec)": unsafe}.items():
        sandbox = Sandbox(limits=ProgramLimits(), isolation=isolation)
        for kind, program in KINDS.items():
            for at_once in (1, os.cpu_count() or 1):
                figure = programs_a_second(sandbox, program, at_once)
                print(f"{name:<22} {kind:<15} {at_once} at once: {figure:6.1f} a second")


if __name__ == "__main__":
    main()
