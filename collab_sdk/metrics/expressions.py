"""Whether two formulas are the same function, tried out on numbers: nothing in them is ever executed."""

import ast
import cmath
import re
from collections.abc import Callable, Mapping

LENGTH = 300
"""Characters; what is longer is no final answer."""
TRIALS = ((0.7390851, 1.3247179), (2.2360679, -0.5772156), (-1.6180339, 0.9159655))
"""Values for the variables, complex so that no root or logarithm is out of bounds."""
CLOSE = 1e-9
LATEX = (
    (re.compile(r"\\boxed\s*\{(.*)\}\s*$", re.DOTALL), r"\1"),
    (re.compile(r"\\(?:left|right|displaystyle|,|;|!|:)|\$|\\[()\[\]]"), ""),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\(?:cdot|times)"), "*"),
    (re.compile(r"\\pi(?![a-z])"), " pi "),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"**(\1)"),
    (re.compile(r"\^"), "**"),
)
FRACTION = re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
ROOT = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
PRODUCT = re.compile(r"(?<=[\d)])\s*(?=[A-Za-z(])|(?<=\))\s*(?=\d)|(?<=[A-Za-z])\s+(?=\w)")
"""Where a product has no sign: 2x, 3(x+1), pi r."""
FUNCTIONS: Mapping[str, Callable[[complex], complex]] = {
    **{"sqrt": cmath.sqrt, "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "log": cmath.log, "ln": cmath.log},
    "exp": cmath.exp,
}
CONSTANTS = {"pi": cmath.pi, "e": cmath.e, "i": 1j}


def same_function(one: str, other: str) -> bool:
    """Whether both are formulas with the same values; False where either cannot be read as one."""
    try:
        first, second = _read(one), _read(other)
        names = sorted(_names(first) | _names(second))
        return all(_close(*(_value(tree, _assign(names, trial)) for tree in (first, second))) for trial in TRIALS)
    except (ValueError, SyntaxError, ArithmeticError, RecursionError, MemoryError):
        return False


def _read(text: str) -> ast.expr:
    if len(text) > LENGTH:
        raise ValueError("too long")
    for pattern, plain in LATEX:
        text = pattern.sub(plain, text)
    while (flatter := FRACTION.sub(r"((\1)/(\2))", ROOT.sub(r"sqrt(\1)", text))) != text:  # they nest
        text = flatter
    text = PRODUCT.sub("*", text.replace("−", "-").strip().rstrip("."))
    return ast.parse(text.strip(), mode="eval").body


def _names(tree: ast.expr) -> set[str]:
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found - FUNCTIONS.keys() - CONSTANTS.keys()


def _assign(names: list[str], trial: tuple[float, float]) -> dict[str, complex]:
    return CONSTANTS | {name: complex(*trial) * (1 + 0.37 * n) for n, name in enumerate(names)}


def _close(one: complex, other: complex) -> bool:
    return abs(one - other) <= CLOSE * max(1.0, abs(one), abs(other))


def _value(node: ast.expr, names: Mapping[str, complex]) -> complex:
    """Floating-point numbers only: 9**9**9 overflows at once, and is not computed."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return complex(float(number))
        case ast.Name(id=name) if name in names and (len(name) == 1 or name in CONSTANTS):
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, names)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument, names))
        case ast.BinOp(left=left, op=operator, right=right):
            return _combine(operator, _value(left, names), _value(right, names))
    raise ValueError("no formula")


def _combine(operator: ast.operator, left: complex, right: complex) -> complex:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.Pow():
            return complex(left**right)
    raise ValueError("no formula")
