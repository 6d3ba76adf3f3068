"""Whether the code that the assistant delivered passes its tests."""

import re
import secrets

from collab_sdk.errors import UsageError
from collab_sdk.metrics.base import Evidence
from collab_sdk.sandbox import Sandbox
from collab_sdk.sandbox.testing import runs_apart, tests_apart, tests_together
from collab_sdk.types import Goal

WANTED = "the Python code in its last version, complete with its imports, exactly as the assistant wrote it"
ANSWER_HERE = "# The code to be tested goes here."
"""The line of a reference that the delivered code takes the place of; without one it goes before the reference."""
AS_SCRIPT = re.compile(r"""^if\s+__name__\s*==\s*(["'])__main__\1\s*:""", re.MULTILINE)
"""What stands below is no part of what is tested: HumanEval's and BigCodeBench's harnesses do not run it either."""
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


class PassRate:
    """1 if the goal's reference, which is a test program, runs to its end on the delivered code, else 0.

    Both run in `sandbox`; raises UsageError where none is to be had. Tests that only call the code and look at plain
    values run in another process than the code, which thus cannot forge a pass. Tests that need the code's own objects,
    by what they import (unittest.mock, numpy, ...), share a process with it: there code written against this package
    can.
    """

    name = "pass_rate"

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox or Sandbox()

    def check(self, goal: Goal) -> None:
        if not (goal.reference or "").strip():
            raise UsageError('pass_rate needs tests: Goal(reference="<a program>"), or "reference" in the log row.')

    def artefact(self, goal: Goal) -> str:
        return WANTED

    async def value(self, evidence: Evidence) -> float:
        code = code_in(evidence.artefact or "")
        if not code.strip():
            return 0.0
        tested = in_its_place(code, evidence.goal.reference or "")
        if runs_apart(tested[0], tested[2]):
            unfit = secrets.token_hex(16)
            run = await self._sandbox.arun(tests_apart(*tested, unfit=unfit))
            if run.finished or unfit not in run.output:
                return float(run.finished)
        return float((await self._sandbox.arun(tests_together(*tested))).finished)


def code_in(text: str) -> str:
    """What stands in the text's code fences, one behind the other; the whole text if it has none."""
    return "\n".join(FENCED.findall(text)) or text


def in_its_place(code: str, tests: str) -> tuple[str, str, str]:
    """What runs before the code, the code, and what runs after it."""
    before, here, after = tests.partition(ANSWER_HERE)
    return before if here else "", AS_SCRIPT.sub("if False:", code), after if here else tests
