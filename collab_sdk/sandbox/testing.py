"""The program that runs tests against code that nobody has read."""

import ast
from functools import cache
from pathlib import Path

__all__ = ["runs_apart", "tests_apart", "tests_together"]

PLAIN_MODULES = frozenset(
    """__future__ bisect collections contextlib copy csv datetime decimal enum fractions functools hashlib heapq io
    itertools json math operator os pathlib random re shutil statistics string tempfile textwrap time typing
    unittest""".split()
)
"""What tests may import that need plain values of the tested program, and nothing of its process."""


def runs_apart(before: str, after: str) -> bool:
    """Whether these tests can run in another process than what they test: what they import says so."""
    try:
        trees = [ast.parse(text) for text in (before, after)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in (node for tree in trees for node in ast.walk(tree)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            modules += [f"{node.module}.{alias.name}" for alias in node.names if node.module == "unittest"]
        for name in modules:
            if name.partition(".")[0] not in PLAIN_MODULES or name.startswith("unittest.mock"):
                return False
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            return False
    return True


def tests_apart(before: str, code: str, after: str, *, unfit: str) -> str:
    """The tests as a program, which runs the code in another process and sees plain values of it.

    It ends with `unfit` in its output, which the code does not know, where the tests hand the code what cannot leave
    their process, such as objects of classes of their own.
    """
    source = _source("plain")
    program = {
        "before": before,
        "code": code,
        "after": after,
        "stubs": _stubs(before),
        "unfit": unfit,
        "tested": source + _source("tested"),
    }
    return f"{source}\n{_source('tester')}\nmain({program!r})"


def tests_together(before: str, code: str, after: str) -> str:
    """The tests as a program, which runs them and the code in one other process."""
    program = {"before": before, "code": code, "after": after, "source": _source("together")}
    return f"{_source('together')}\nmain({program!r})"


def _stubs(before: str) -> list[str]:
    """The functions whose bodies are still to be written, as in HumanEval's prompts."""
    functions = [node for node in ast.parse(before).body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if all(map(_does_nothing, node.body))]


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass | ast.Import | ast.ImportFrom | ast.Raise)


@cache
def _source(name: str) -> str:
    return Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
