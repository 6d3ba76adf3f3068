"""math-verify in a process of its own, which hostile formulas can neither hold up nor fill with numbers.

Run as a program, this file is that process: it reads pairs of formulas, and answers each.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
from typing import IO, Any

CPU_SECONDS = 2
"""For one pair of formulas. By the processor's clock: a busy machine leaves no more undecided than an idle one."""
SECONDS = 30
"""The same by the wall's, for a process that does not get to run."""
START_SECONDS = 120
"""By the wall's clock, for the process to import what it needs."""
MEMORY = 1024 * 1024 * 1024
"""Bytes of address space."""
READY = "ready"
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "SYSTEMROOT")
"""What the process gets of the environment: by which Python finds its packages, and no keys."""
SAME, DIFFERENT = "same", "different"


class MathSolver:
    """Says whether two formulas in LaTeX are the same; its process starts with the first, and anew after a kill."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def compare(self, gold: str, given: str) -> str:
        """SAME; DIFFERENT, for two numbers; or neither, where that cannot be said within the limits."""
        with self._lock:
            process = self._process or self._start()
            try:
                return _ask(process, [gold, given])
            except (OSError, TimeoutError):
                self._end(process)
                return ""

    def close(self) -> None:
        """End the process, whatever it is doing."""
        while True:
            if (process := self._process) is not None:
                process.kill()  # whoever waits for it holds the lock
            if self._lock.acquire(timeout=0.1):
                break
        try:
            if self._process is not None:
                self._end(self._process)
        finally:
            self._lock.release()

    def _start(self) -> "subprocess.Popen[bytes]":
        """Raises RuntimeError where math-verify does not start: a judge who decides instead would hide that."""
        command = [sys.executable, "-P", __file__]
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        process = subprocess.Popen(  # noqa: S603 - this file
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        )
        self._process = process
        try:
            started = _answer(process, START_SECONDS)
        except (OSError, TimeoutError):
            started = ""
        if started != READY:
            self._end(process)
            raise RuntimeError("math-verify does not start")
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = None
        process.kill()
        process.communicate()


def _ask(process: "subprocess.Popen[bytes]", question: list[str]) -> str:
    """Raises OSError where the process ends instead of answering, TimeoutError where it does neither."""
    questions = _open(process.stdin)
    questions.write(json.dumps(question).encode() + b"\n")
    questions.flush()
    return _answer(process, SECONDS)


def _answer(process: "subprocess.Popen[bytes]", seconds: float) -> str:
    answers = _open(process.stdout)
    with selectors.DefaultSelector() as ready:
        ready.register(answers, selectors.EVENT_READ)
        if not ready.select(seconds):
            raise TimeoutError
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise BrokenPipeError
    return line.decode().strip()


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - it was asked for
    return stream


def main() -> None:
    import logging
    import resource
    import signal

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = sys.stdout
    sys.stdout = sys.stderr = open("/dev/null", "w")  # noqa: PTH123, SIM115 - what libraries print is no answer
    import math_verify  # noqa: F401 - outside of the first pair's time

    print(READY, file=answers, flush=True)
    for line in sys.stdin:
        gold, given = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # without a handler, the signal ends the process
        try:
            answer = _compare(gold, given)
        except Exception:  # of whatever kind a parser raises
            answer = ""
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(answer, file=answers, flush=True)


def _compare(gold: str, given: str) -> str:
    from math_verify import LatexExtractionConfig, parse, verify

    config = [LatexExtractionConfig()]
    one, other = [
        parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=None) for text in (gold, given)
    ]
    if len(one) != 1 or len(other) != 1:
        return ""
    if verify(one, other, timeout_seconds=None):
        return SAME if _confirmed(one[0], other[0]) else ""
    return DIFFERENT if _differ(one[0], other[0]) else ""


def _confirmed(one: Any, other: Any) -> bool:
    """A second opinion: math-verify rounds to 15 places behind the point, and so takes 1e-20 for 2e-20."""
    from sympy import Eq, MatrixBase
    from sympy.core.relational import Relational

    if isinstance(one, MatrixBase) and isinstance(other, MatrixBase):
        return bool(one.shape == other.shape) and all(map(_equal, one, other))
    if isinstance(one, Relational) and isinstance(other, Relational):
        turned = type(one) is not type(other)
        if turned and type(one) is not type(other.reversed):
            return False
        points = _at_points(one.lhs - one.rhs, other.lhs - other.rhs)
        if all(_near(first, points[0][0]) for first, _ in points):
            return False  # true or false whatever the variable is
        factors = [first / second for first, second in points if second]
        sign = -1 if turned else 1
        return bool(factors) and all(
            _near(factor, factors[0]) and (isinstance(one, Eq) or sign * factor > 0) for factor in factors
        )
    return _equal(one, other)


def _equal(one: Any, other: Any) -> bool:
    points = _at_points(one, other)
    return bool(points) and all(_near(first, second) for first, second in points)


def _near(one: complex, other: complex) -> bool:
    return abs(one - other) <= 1e-12 * max(abs(one), abs(other))


def _at_points(one: Any, other: Any) -> list[tuple[Any, Any]]:
    """The values of both where their variables have these values; none where any is not a number."""
    from sympy import Rational

    names = sorted(one.free_symbols | other.free_symbols, key=str)
    points = [("73908513", "13247179"), ("22360679", "5772156"), ("-16180339", "9159655")]
    found = []
    for start, step in points:
        at = {name: Rational(int(start) + n * int(step), 10**7) for n, name in enumerate(names)}
        values = [side.doit().subs(at).doit().evalf(30) for side in (one, other)]
        if not all(value.is_number and value.is_finite for value in values):
            return []
        found.append((values[0], values[1]))
    return found


def _differ(one: Any, other: Any) -> bool:
    """Whether these are two numbers, not one, beyond doubt."""
    from sympy import Expr

    if not (isinstance(one, Expr) and isinstance(other, Expr)) or one.free_symbols | other.free_symbols:
        return False
    points = _at_points(one, other)
    return bool(points) and all(abs(first - second) > 1e-6 * max(abs(first), abs(second)) for first, second in points)


if __name__ == "__main__":
    main()
