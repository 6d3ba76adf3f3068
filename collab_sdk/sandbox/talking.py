"""A program in the sandbox that is asked one thing after another, and keeps its state in between."""

import json
import os
import selectors
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from collab_sdk.errors import SandboxError
from collab_sdk.sandbox.isolation import Isolation, find_isolation
from collab_sdk.sandbox.limits import ProgramLimits
from collab_sdk.sandbox.process import ProgramRun, run_program

POLL = 0.05
"""Seconds between two looks at whether the program still runs."""
CHUNK = 65_536


class TalkingProgram:
    """One program, whose function `answer(question)` is called with JSON values; its answers are JSON values too.

    The program may define what it likes before. `limits.seconds` is for all of its life. Raises UsageError where no
    isolation is to be had.
    """

    def __init__(self, program: str, *, limits: ProgramLimits, isolation: Isolation | None = None) -> None:
        self._limits = limits
        self._isolation = isolation or find_isolation()
        self._program = program
        self._stopped = False
        self._ended: Future[ProgramRun] = Future()
        self._questions = self._answers = -1
        self._inner: tuple[int, ...] = ()
        self._unread = bytearray()

    def ask(self, question: object, *, seconds: float) -> Any:
        """What the program answers. Raises SandboxError where it has ended, TimeoutError where it takes longer."""
        if self._questions < 0:
            self._start()
        deadline = time.monotonic() + seconds
        with suppress(BrokenPipeError):  # it has ended, as is seen below
            line = json.dumps(question).encode() + b"\n"
            while line:
                line = line[os.write(self._questions, line) :]
        return json.loads(self._line(deadline))

    def close(self) -> None:
        """End the program, whatever it does."""
        self._stopped = True
        if self._questions >= 0:
            os.close(self._questions)
            with suppress(SandboxError):
                self._ended.result()
            os.close(self._answers)
            self._questions = self._answers = -1

    def _start(self) -> None:
        asked, self._questions = os.pipe()
        self._answers, answered = os.pipe()
        self._inner = (asked, answered)
        program = f"{self._program}\n{LOOP.format(asked=asked, answered=answered)}"
        threading.Thread(target=self._run, args=(program,), name="collab-sandbox", daemon=True).start()

    def _run(self, program: str) -> None:
        try:
            with self._isolation(self._limits) as launch:
                ended = run_program(launch, program, self._limits, pipes=self._inner, stopped=lambda: self._stopped)
            self._ended.set_result(ended)
        except BaseException as error:
            self._ended.set_exception(error)
        finally:
            for pipe in self._inner:
                os.close(pipe)

    def _line(self, deadline: float) -> bytes:
        with selectors.DefaultSelector() as ready:
            ready.register(self._answers, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if time.monotonic() > deadline:
                    raise TimeoutError
                if not ready.select(POLL):
                    continue
                chunk = os.read(self._answers, CHUNK)
                self._unread += chunk
                if not chunk or len(self._unread) > self._limits.output:
                    raise SandboxError(self._why())
        line, _, rest = bytes(self._unread).partition(b"\n")
        self._unread = bytearray(rest)
        return line

    def _why(self) -> str:
        if len(self._unread) > self._limits.output:
            return "its answer is too long"
        ended = self._ended.result()  # raises SandboxError where it was not even started
        return f"{ended.end}: {' '.join(ended.output.split())[-200:]}".removesuffix(": ")


LOOP = """
def _talk(answer, asked, answered):
    import json, os
    unread = b""
    while True:
        while b"\\n" not in unread:
            chunk = os.read(asked, 65536)
            if not chunk:
                return
            unread += chunk
        line, _, unread = unread.partition(b"\\n")
        said = json.dumps(answer(json.loads(line))).encode() + b"\\n"
        while said:
            said = said[os.write(answered, said):]
_talk(answer, {asked}, {answered})
"""
"""Put behind the program."""
