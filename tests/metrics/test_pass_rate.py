"""Whether code passes its tests, and that no code can say so itself."""

import asyncio
import json

import pytest
from support.paths import DATA
from support.sandboxes import as_this_user

from collab_sdk import Evidence, Goal
from collab_sdk.errors import SandboxError
from collab_sdk.metrics.pass_rate import ANSWER_HERE, PassRate
from collab_sdk.tasks.bigcodebench_chat import read

pytestmark = pytest.mark.slow

PROBLEMS = DATA / "human_eval.jsonl"

DOUBLES = "def f(x):\n    return 2 * x"
WRONG = "def f(x):\n    return 3 * x"
PLAIN = "assert f(2) == 4\nassert f(3) == 6"
CASES = """
import unittest
class TestF(unittest.TestCase):
    def test_two(self):
        self.assertEqual(f(2), 4)
    def test_three(self):
        self.assertTrue(f(3) == 6)
"""
UNITTEST = CASES + "assert unittest.main(exit=False).result.wasSuccessful()"
TOGETHER = "from unittest.mock import patch\n" + UNITTEST
"""It needs the process of the code, by what it imports."""


@pytest.fixture(scope="module")
def metric() -> PassRate:
    try:
        as_this_user("bubblewrap")
    except SandboxError as error:
        pytest.skip(str(error))
    return PassRate()


def delivered(code: str, tests: str) -> Evidence:
    goal = Goal(text="as said", reference=tests)
    return Evidence(messages=(), goal=goal, tokens={}, judgement=None, artefact=code)


def rate(metric: PassRate, code: str, tests: str) -> float:
    return asyncio.run(metric.value(delivered(code, tests)))


@pytest.mark.parametrize("tests", [PLAIN, UNITTEST, TOGETHER])
def test_right_code_passes_and_wrong_code_does_not(metric, tests):
    assert rate(metric, DOUBLES, tests) == 1
    assert rate(metric, WRONG, tests) == 0


FORGED = {
    "leaves": "import os; os._exit(0)",
    "leaves when called": "import os\ndef f(x): os._exit(0)",
    "exits": "import sys; sys.exit(0)",
    "exits when called": "import sys\ndef f(x): sys.exit(0)",
    "exits later": "import atexit, os\natexit.register(os._exit, 0)\n" + WRONG,
    "prints what looks like success": WRONG + "\nprint('ready')\nprint('OK')\nprint('passed')",
    "writes to every descriptor": WRONG
    + "\nimport os\nfor fd in range(3, 64):\n    try: os.write(fd, b'OK\\n')\n    except OSError: pass",
    "equals everything": "class Any:\n    __eq__ = lambda *a: True\n    __hash__ = None\ndef f(x): return Any()",
    "equals everything, as a number": "class Any(int):\n    __eq__ = lambda *a: True\ndef f(x): return Any(0)",
    "patches unittest": "import unittest\nfor name in ('assertEqual', 'assertTrue'):\n"
    "    setattr(unittest.TestCase, name, lambda *a: None)\n" + WRONG,
    "patches unittest when called": "import unittest\ndef f(x):\n"
    "    unittest.TestCase.assertEqual = unittest.TestCase.assertTrue = lambda *a: None\n    return 3 * x",
    "replaces the result": "import unittest\nunittest.TestResult.wasSuccessful = lambda self: True\n" + WRONG,
    "replaces main": "import unittest\nunittest.main = lambda **_: unittest\nunittest.result = unittest\n"
    "unittest.wasSuccessful = lambda: True\n" + WRONG,
    "replaces the library": "import sys, types\nfake = types.ModuleType('unittest')\nfake.TestCase = object\n"
    "fake.main = lambda **_: fake\nfake.result = fake\nfake.wasSuccessful = lambda: True\n"
    "sys.modules['unittest'] = fake\n" + WRONG,
    "skips its tests": "import unittest\ndef f(x): raise unittest.SkipTest('x')",
    "replaces AssertionError": "import builtins\nclass Quiet(Exception): pass\nbuiltins.AssertionError = Quiet\n"
    + WRONG,
    "patches the built-in functions": "import builtins\nbuiltins.abs = lambda x: 0\n" + WRONG,
    "traces": "import sys\nsys.settrace(lambda *a: None)\n" + WRONG,
    "kills its parent": "import os\ndef f(x): os.kill(os.getppid(), 9)",
    "sends the token that it looks for": "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
    "        for value in frame.f_locals.values():\n            if isinstance(value, bytes): print(value)\n"
    "        frame = frame.f_back\n    return 3 * x",
}


@pytest.mark.parametrize("tests", [PLAIN, UNITTEST, TOGETHER], ids=["plain", "unittest", "together"])
@pytest.mark.parametrize("code", FORGED.values(), ids=FORGED)
def test_a_forged_success_is_none(metric, code, tests):
    assert rate(metric, code, tests) == 0


APART = {
    "helpers that the tests use are theirs": (
        "def near(a, b):\n    return abs(a - b) < 0.1\n" + ANSWER_HERE + "\nassert near(f(2), 4)",
        WRONG + "\ndef near(a, b): return True\ndef abs(x): return 0",
    ),
    "so are modules": ("assert math.isclose(f(2), 4)", WRONG + "\nclass math:\n    isclose = lambda *a: True"),
    "an object is no number": (
        "assert f(2) < 5",
        "class Any:\n    def __lt__(self, o): return True\ndef f(x): return Any()",
    ),
    "what is printed is read by nobody": ("assert f(2) == 4", "def f(x):\n    print('4')\n    return 0"),
    "an end in a call is no exception": (
        "try:\n    f(2)\nexcept BaseException:\n    pass",
        "import os\ndef f(x): os._exit(1)",
    ),
    "the memory of the tests is closed": (
        "assert f(2) == 4",
        "import os\ndef f(x):\n    open(f'/proc/{os.getppid()}/mem', 'r+b').close()\n    return 4",
    ),
}


@pytest.mark.parametrize(("tests", "code"), APART.values(), ids=APART)
def test_code_reaches_nothing_that_decides(metric, tests, code):
    assert rate(metric, code, tests) == 0


RIGHT = {
    "values of every kind": (
        "import decimal, datetime\nfrom collections import Counter\n"
        "for value in (None, True, 2, 2.5, 'x', b'x', [1], (1, [2]), {1: (2,)}, {1}, frozenset({1}), 1j, range(3),\n"
        "              decimal.Decimal('1.5'), datetime.date(2024, 1, 2), Counter('aab')):\n"
        "    assert f(value) == value and type(f(value)) is type(value)",
        "def f(x): return x",
    ),
    "nan and infinity": (
        "import math\nassert math.isnan(f(0)) and f(1) == math.inf",
        "def f(x): return float('inf') if x else float('nan')",
    ),
    "exceptions": (
        "try:\n    f(-1)\nexcept ValueError as error:\n    assert str(error) == 'too small'\nelse:\n    assert False",
        "def f(x):\n    if x < 0: raise ValueError('too small')",
    ),
    "exceptions of its own": (
        "try:\n    f(-1)\nexcept TooSmall as error:\n    assert error.args == (-1,)\nelse:\n    assert False",
        "class TooSmall(ValueError): pass\ndef f(x): raise TooSmall(x)",
    ),
    "classes": (
        "s = Stack()\ns.push(1); s.push(2)\nassert len(s) == 2 and s.pop() == 2 and list(s) == [1] and 1 in s\n"
        "assert isinstance(s, Stack) and s.name == 'stack' and s == s and s != [1]",
        "class Stack:\n    name = 'stack'\n    def __init__(self): self.items = []\n"
        "    def push(self, x): self.items.append(x)\n    def pop(self): return self.items.pop()\n"
        "    def __len__(self): return len(self.items)\n    def __iter__(self): return iter(self.items)\n"
        "    def __contains__(self, x): return x in self.items",
    ),
    "functions of the tests": (
        "assert f(lambda x: x + 1, [1, 2]) == [2, 3] and f(str, [1]) == ['1']",
        "def f(g, xs): return [g(x) for x in xs]",
    ),
    "arguments that are changed": ("xs = [3, 1, 2]\nf(xs)\nassert xs == [1, 2, 3]", "def f(xs): xs.sort()"),
    "generators": ("assert list(f(3)) == [0, 1, 2] and next(f(1)) == 0", "def f(n):\n    yield from range(n)"),
    "what is printed": (
        "import io, contextlib\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    f()\n"
        "assert out.getvalue() == 'hello\\n'",
        "def f(): print('hello')",
    ),
    "a module that it imports": ("assert math.isclose(f(2), 4.0)", "import math\ndef f(x): return 2.0 * x"),
    "a name of this package's own": ("assert encode('a') == 'b'", "def encode(text): return chr(ord(text) + 1)"),
    "named tuples": (
        "assert f() == (1, 2) and f().x == 1",
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)",
    ),
    "a class of the tests, which no process can be handed": (
        "class Item:\n    def __init__(self, n): self.n = n\nassert f(Item(2)) == 4",
        "def f(item): return 2 * item.n",
    ),
    "a patch": (
        "from unittest.mock import patch\nwith patch('random.random', return_value=0.5):\n    assert f() == 0.5",
        "import random\ndef f(): return random.random()",
    ),
}


@pytest.mark.parametrize(("tests", "code"), RIGHT.values(), ids=RIGHT)
def test_right_code_passes_whatever_passes_between(metric, tests, code):
    assert rate(metric, code, tests) == 1


@pytest.mark.skipif(not PROBLEMS.exists(), reason=f"HumanEval is not at {PROBLEMS}")
def test_the_canonical_solutions_of_human_eval_all_pass(metric):
    rows = [json.loads(line) for line in PROBLEMS.read_text().splitlines()]

    async def passed():
        return await asyncio.gather(
            *(metric.value(delivered(r["prompt"] + r["canonical_solution"], read(r).goal.reference)) for r in rows)
        )

    assert asyncio.run(passed()) == [1.0] * 164
