"""A tested program and its tests in one process, where the tests need the program's own objects.

Runs in the sandbox, with a call of `main` behind it. A process of its own runs program and tests, and reports to this
one, which has the token of success. The test library and the built-in functions are put back after the program has run,
and must still be the same when the tests have; objects of the program's types equal no others. This raises the price of
a forged pass, no more: code that is written against this very file can still forge one.
"""

import ast
import builtins
import ctypes
import json
import os
import subprocess
import sys
import types
import unittest
import unittest.mock
from typing import Any

SET_DUMPABLE = 4
PASSED = b"passed"
EQUAL = "__same_value__"
FREE = frozenset({"maxDiff", "longMessage", "_"})
"""What tests may set."""
GUARDED = [builtins, *(module for name, module in sys.modules.items() if name.partition(".")[0] == "unittest")]


class Equality(ast.NodeTransformer):
    """`a == b` in the tests becomes a call that looks at the types first."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) > 1 or not isinstance(node.ops[0], ast.Eq):
            return node
        call = ast.Call(ast.Name(EQUAL, ast.Load()), [node.left, node.comparators[0]], [])
        return ast.copy_location(call, node)


class Snapshot:
    """The functions and classes of the guarded modules, as they were before the program ran."""

    def __init__(self) -> None:
        classes = [each for module in GUARDED[1:] for each in vars(module).values() if isinstance(each, type)]
        own = [each for each in classes if each.__module__.partition(".")[0] == "unittest"]
        self._held = [(place, self._of(place)) for place in dict.fromkeys([*GUARDED, *own])]
        self._modules = {module.__name__: module for module in GUARDED}

    def restore(self) -> None:
        sys.settrace(None)
        sys.setprofile(None)
        sys.modules.update(self._modules)
        for place, held in self._held:
            for name in self._of(place).keys() - held.keys():
                delattr(place, name)
            for name, value in held.items():
                if vars(place).get(name) is not value:
                    setattr(place, name, value)

    def holds(self) -> bool:
        return all(self._of(place) == held for place, held in self._held)

    def _of(self, place: Any) -> dict[str, Any]:
        kinds = (type, types.FunctionType, types.BuiltinFunctionType, classmethod, staticmethod, property)
        return {name: value for name, value in vars(place).items() if name not in FREE and isinstance(value, kinds)}


def is_foreign(value: Any, depth: int = 0) -> bool:
    """Whether a type of the program's is in it, which would decide what it equals."""
    kind = type(value)
    if kind.__module__ == "__main__" and not isinstance(value, tuple):
        return True
    if depth > 5 or kind not in (list, tuple, dict, set, frozenset):
        return False
    inside = [*value, *value.values()] if kind is dict else value
    return any(is_foreign(each, depth + 1) for each in inside)


def same_value(one: Any, other: Any) -> Any:
    return one == other if is_foreign(one) == is_foreign(other) else False


def run(program: dict[str, str], report: int) -> None:
    """In the process of program and tests."""
    before = compile(program["before"], "<tests>", "exec")
    after = compile(ast.fix_missing_locations(Equality().visit(ast.parse(program["after"]))), "<tests>", "exec")
    assert_equal = unittest.TestCase.assertEqual

    def guarded(case: Any, first: Any, second: Any, msg: Any = None) -> None:
        if is_foreign(first) != is_foreign(second):
            case.fail(msg or "an object of the program's is not a plain value")
        assert_equal(case, first, second, msg)

    def skipped(result: Any, case: Any, reason: str) -> None:
        result.failures.append((case, reason))

    setattr(unittest.TestCase, "assertEqual", guarded)  # noqa: B010 - mypy
    if "skip" not in program["after"].lower():  # otherwise the program has skipped them
        setattr(unittest.TestResult, "addSkip", skipped)  # noqa: B010
    snapshot = Snapshot()
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    names = module.__dict__
    exec(before, names)  # noqa: S102
    exec(compile(program["code"], "<program>", "exec"), names)  # noqa: S102
    snapshot.restore()
    names[EQUAL] = same_value
    exec(after, names)  # noqa: S102
    if snapshot.holds():
        os.write(report, PASSED)
    os._exit(0)


def main(program: Any) -> None:
    if len(sys.argv) > 1:
        asked, report = int(sys.argv[1]), int(sys.argv[2])
        sys.path += sys.argv[3:]
        del sys.argv[1:]
        with open(asked) as questions:
            run(json.loads(questions.read()), report)
    ctypes.CDLL(None).prctl(SET_DUMPABLE, 0, 0, 0, 0)  # so that the other process can neither read nor write this one
    (asked, asking), (reporting, report) = os.pipe(), os.pipe()
    command = [sys.executable, "-sSP", "-c", f"{program['source']}\nmain(None)", str(asked), str(report), *sys.path]
    with subprocess.Popen(command, pass_fds=(asked, report), stdout=2) as child:  # noqa: S603
        os.close(asked)
        os.close(report)
        with open(asking, "w") as questions:  # noqa: PTH123
            json.dump({name: text for name, text in program.items() if name != "source"}, questions)
        with open(reporting, "rb") as reports:  # noqa: PTH123
            passed = reports.read(len(PASSED)) == PASSED
    if not passed or child.returncode:
        os._exit(1)
