"""Whether two formulas are the same, by math-verify, where both are written in signs whose meaning is beyond doubt.

math-verify finds a formula in any text: "2 million" is 2 for it, or 2·m·i·l·l·i·o·n. So only what is nothing but a
formula gets there, one value at a time; lists, sets, tuples and intervals are taken apart here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collab_sdk.metrics.math_solver import DIFFERENT, SAME, MathSolver
from collab_sdk.metrics.numerals import are_quantities, same_quantity

LONGEST = 300
"""Characters; what is longer is no final answer."""
MOST_PARTS = 8
COMMANDS = frozenset(
    """frac sqrt pi cdot times div pm le leq ge geq infty cup sin cos tan cot sec csc arcsin arccos arctan log ln binom
    alpha beta gamma delta theta lambda mu phi omega begin end""".split()
)
"""Commands of LaTeX that mean one thing. The matrices are the only environments."""
SIGNS = str.maketrans(
    {
        "−": "-",
        "×": "*",
        "÷": "/",
        "π": r"\pi ",
        "∞": r"\infty ",
        "∪": r"\cup ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "±": r"\pm ",
    }
    | {sign: f"^{{{power}}}" for power, sign in enumerate("²³⁴⁵⁶⁷⁸⁹", start=2)}
)
NAMES = re.compile(r"(?<![\\A-Za-z])(sqrt|sin|cos|tan|ln|log|pi)(?![A-Za-z])")
PLAIN = (
    (re.compile(r"(?<!\\)\\(?:left|right|displaystyle|,|;|!|:| )"), ""),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\(?:le|ge)q\b"), lambda match: match[0][:3] + " "),
    (re.compile(r"√(\d+)(?![\d.,A-Za-z(])"), r"\\sqrt{\1}"),
    (NAMES, r"\\\1 "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\^\s*(-?\d+)"), r"^{\1}"),
    (re.compile(r"\^\s*(-[A-Za-z])"), r"^{\1}"),
    (re.compile(r"\*"), r"\\cdot "),
)
DECIMAL = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?![\d.])")
ALLOWED = re.compile(r"[A-Za-z0-9+\-*/^_(){}\[\],=<>!|& \\]*")
COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
MATRIX = re.compile(r"\\(?:begin|end)\{[pb]matrix\}")
FACTOR = r"(?:\d+|[A-Za-z]|\\pi\s)(?:\^\{-?\d+\})?"
DOUBTFUL = re.compile(
    "|".join(
        (
            r"\d\s+\d",  # two numbers, or one
            r"\d,\d{3}(?!\d)",  # a thousand, or a list
            r"(?<!log)_|\\log_(?!\d(?!\d)|\{\d+\})",  # an index, or the base of a numeral
            rf"/\s*{FACTOR}\s*(?:[A-Za-z(]|\\(?!cdot|times|cup|le\b|ge\b|pm))",  # 1/2x
            r"/\s*\([^()]*\)\s*[A-Za-z\d(\\]",
            r"[\de]\^\{-?\d+\}\s*[A-Za-z(]",  # 2^3x
            r"\^\{[^{}]*\}\s*\^",  # (2^3)^2, or 2^(3^2)
            r"\\sqrt\s*\d\d|\\frac\s*\d{3}",
            r"[fghFGHP]\s*\(",  # a function, or a product
            r"!\s*[=!\d]|(?<![\d)a-z])!",
            r"/\s*\d+\s*/",  # a date
            r"[-+]\s*[-+]|^\s*[-+*]\s",
            r"\d\s*\(\s*[-+]?[\d.]+\s*\)",  # a product, or a remark
            r"^\s*[\d.]+\s*-\s*[\d.]+\s*$",  # a difference, or a range
            r"^\s*[(\[]\s*[-+]?[\d.]+\s*[)\]]\s*$",  # a choice, or a negative sum of money
            r"[=<>]\s*[=<>]",
        )
    )
)
PRODUCTS = re.compile(r"[abcxyz]{2,3}")
"""Letters in a row that are a product and no word, in a text that has signs too."""
PURE = re.compile(r"(?:[\d+\-/^(){} ]|\\(?:sqrt|pi|cdot|times|div)(?![A-Za-z])|(?<!\d)\\frac)*")
"""A number that is written without decimals, which may be rounded, and without what is read in several ways."""
RELATION = re.compile(r"=|<|>|\\(?:le|ge)\b")
ASSIGNED = re.compile(r"([A-Za-z]|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|omega))\s*=\s*(?=\S)")
AND, OR = re.compile(r"\s*,?\s+and\s+"), re.compile(r"\s*,?\s+or\s+")
BRACKETED = re.compile(r"(?P<open>\\\{|[(\[])(?P<inner>.*)(?P<close>\\\}|[)\]])", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """An answer taken apart. `kind` is its brackets, "," for a bare list, "{}" for a set, and empty for one value."""

    kind: str
    values: tuple[str, ...]


def same_formula(reference: str, answer: str, solver: MathSolver) -> bool | None:
    """Whether both are the same formula; None where that is not certain. False for two numbers alone."""
    expected, given = _parts(reference), _parts(answer)
    if expected is None or given is None or len(expected.values) != len(given.values):
        return None
    if expected.kind == given.kind and list(map(_tight, expected.values)) == list(map(_tight, given.values)):
        return True
    if expected.kind == given.kind == "":
        return _same(expected.values[0], given.values[0], solver)
    loose = {"{}", ","}
    if expected.kind != given.kind and not loose.issuperset((expected.kind, given.kind)):
        return None
    if all(_same(*pair, solver) for pair in zip(expected.values, given.values, strict=True)):
        return True
    if expected.kind == given.kind == "{}" and _all_found(expected.values, given.values, solver):
        return True
    return None


def _all_found(expected: Sequence[str], given: Sequence[str], solver: MathSolver) -> bool:
    """Whether each of one set has its own equal in the other."""
    left = list(given)
    for value in expected:
        found = next((each for each in left if _same(value, each, solver)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _parts(text: str) -> Parts | None:
    if len(text) > LONGEST:
        return None
    text = text.strip()
    listed = OR.search(text) is not None
    plain = _plain(AND.sub(", ", OR.sub(", ", text)))
    if plain is None:
        return None
    kinds, inner = [], []
    for piece in plain.split(r"\cup"):
        bracketed = BRACKETED.fullmatch(piece.strip())
        if bracketed and not listed and "," in bracketed["inner"] and _balanced(bracketed["inner"]):
            kinds.append((bracketed["open"] + bracketed["close"]).replace("\\", ""))
            inner.append(bracketed["inner"])
    if len(kinds) != plain.count(r"\cup") + 1:
        if r"\cup" in plain:
            return None
        kinds, inner = (["{}"] if listed else []), [plain]
    kind = "∪".join(kinds)
    values = [each for piece in inner for part in _split(piece) for each in _signs(part.strip())]
    if len(values) > MOST_PARTS or not all(values):
        return None
    if len(values) > 1 and not kind:
        kind = "{}" if r"\pm" in plain else ","
    return Parts(kind=kind, values=tuple(_unassigned(values)))


def _unassigned(values: list[str]) -> list[str]:
    """Without the "x =" before each, where it is the same x; the list's first may stand for all."""
    matches = [ASSIGNED.match(value) for value in values]
    first = matches[0]
    names = {match[1] for match in matches if match}
    if len(values) > 1 and first and len(names) == 1:
        return [value[match.end() :] if match else value for value, match in zip(values, matches, strict=True)]
    return values


def _signs(value: str) -> Iterator[str]:
    """Both values of one with ±."""
    if value.count(r"\pm") == 1:
        yield re.sub(r"\\pm\s*", "+", value)
        yield re.sub(r"\\pm\s*", "-", value)
    else:
        yield value


def _split(text: str) -> Iterator[str]:
    """At the commas outside of all brackets."""
    depth, start = 0, 0
    for place, sign in enumerate(text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _balanced(text: str) -> bool:
    depth = 0
    for sign in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(sign, 0)
        if depth < 0:
            return False
    return depth == 0


def _plain(text: str) -> str | None:
    """The formula in the LaTeX that math-verify reads; None where it holds anything but a formula beyond doubt."""
    if re.search(r"\d·\d", text):  # a product, or a decimal point
        return None
    text = text.translate(SIGNS).replace("·", "*")
    for pattern, replacement in PLAIN:
        text = pattern.sub(replacement, text)
    text = _braced(_braced(text, r"\sqrt"), "^")
    bare = MATRIX.sub(" ", text)
    words = re.findall(r"[A-Za-z]{2,}", COMMAND.sub(" ", bare))
    signs = re.search(r"[=+\-/^\\\d]", bare)
    indexed = re.search(r"[A-Za-z]\d", COMMAND.sub(" ", bare))
    if DOUBTFUL.search(bare) or indexed or not all(signs and PRODUCTS.fullmatch(word) for word in words):
        return None
    if any(
        name not in COMMANDS and not (name in "{}" or (name == "\\" and bare != text)) for name in COMMAND.findall(bare)
    ):
        return None
    return text if ALLOWED.fullmatch(DECIMAL.sub("", text)) and text.count("|") % 2 == 0 else None


def _braced(text: str, before: str) -> str:
    """With braces in place of the parentheses that follow `before`."""
    pattern = re.compile(re.escape(before) + r"\s*\(")
    while match := pattern.search(text):
        depth = 1
        for place in range(match.end(), len(text)):
            depth += {"(": 1, ")": -1}.get(text[place], 0)
            if depth == 0:
                break
        else:
            return text
        text = f"{text[: match.end() - 1]}{{{text[match.end() : place]}}}{text[place + 1 :]}"
    return text


def _same(reference: str, answer: str, solver: MathSolver) -> bool | None:
    """Of single values."""
    one, other = ASSIGNED.match(reference), ASSIGNED.match(answer)
    if one and other and one[1] != other[1]:  # x = 5 is not y = 5
        return None
    if one and other is None and not RELATION.search(answer):
        reference = reference[one.end() :]
    if other and one is None and not RELATION.search(reference):
        answer = answer[other.end() :]
    if are_quantities(reference, answer):
        return same_quantity(reference, answer)
    if any(len(RELATION.findall(text)) > 1 for text in (reference, answer)) or _kind(reference) != _kind(answer):
        return None
    verdict = solver.compare(_exact(reference), _exact(answer))
    if verdict == SAME:
        return True
    return False if verdict == DIFFERENT and PURE.fullmatch(reference) and PURE.fullmatch(answer) else None


def _exact(text: str) -> str:
    """With fractions in place of decimals, which math-verify would compare to six places."""
    return DECIMAL.sub(lambda match: rf"{{\frac{{{match[1]}{match[2]}}}{{1{'0' * len(match[2])}}}}}", text)


def _kind(text: str) -> tuple[bool, set[str], bool, bool]:
    """What must be the same in both: math-verify takes "R" for "r", "2x = 5" for 5, and any logarithm for its own."""
    letters = set(re.findall("[A-Za-z]", COMMAND.sub(" ", MATRIX.sub(" ", text))))
    return bool(RELATION.search(text)), letters, re.search(r"\\log(?!_)", text) is not None, r"\ln" in text


def _tight(text: str) -> str:
    return re.sub(r"\s+", "", text)
