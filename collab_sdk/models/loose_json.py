"""JSON as small models write it: with raw line breaks, trailing commas, Python's quotes and words.

It is exact where that matters: a backslash that begins a formula or a pattern is kept, though JSON has another meaning
for some of them.
"""

import json
import re
from typing import Any

DEEPEST = 64
SPACE = re.compile(r"\s*")
WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
SCALAR = re.compile(rf"(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|{'|'.join(WORDS)})(?![\w.])")
BARE_KEY = re.compile(r"[A-Za-z_]\w*")
STRINGS = {
    '"""': re.compile(r'(.*?)"""', re.DOTALL),
    '"': re.compile(r'([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL),
    "'": re.compile(r"([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL),
}
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
MEANT = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "/": "/", "'": "'", "\n": "\n"}
"""What an escape stands for. Backspaces and form feeds are in no chat: `\\b` and `\\f` begin LaTeX or a pattern."""
LATEX = re.compile(
    r"\\(?:r(?:ight(?:arrow)?|angle|ho|floor|ceil|m|ef)"
    r"|t(?:imes|heta|au|frac|binom|ilde|anh|herefore|riangle\w*|op|ext(?:bf|it|rm|tt|sf|sc|normal)?(?=\s*\{))"
    r"|n(?:abla|eq|otin|onumber|olimits|leq|geq|ewline|ewcommand))(?![a-zA-Z])"
)
"""Commands of LaTeX that JSON would read as a tab, a newline or a carriage return, and that begin no word there."""
MATHS = re.compile(
    r"\\[(\[]|\\(?:frac|sqrt|sum|int|cdot|leq?|geq?|alpha|beta|boxed|infty|pi)(?![a-zA-Z])"
    r"|\$(?=[^\s$])[^$\n]{0,200}(?<=[^\s$])\$(?!\d)"
)
LATEX_IN_MATHS = re.compile(r"\\(?:t(?:o|an)|n(?:u|e|i|eg|ot|exists))(?![a-zA-Z])")
"""Those that might begin a word ("\\ni want"): taken for LaTeX where there is other mathematics."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs) and any(found[key] != value for key, value in pairs):
        raise ValueError("the same key stands there twice")
    return found


STRICT = json.JSONDecoder(strict=False, parse_constant=_refuse, object_pairs_hook=_object)


class LooseParser:
    """JSON as small models write it: with raw line breaks, trailing commas, Python's quotes and words."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.reached = 0
        """How far it has read."""

    def value(self, position: int, depth: int = 0) -> tuple[Any, int]:
        """The value at `position`, and where it ends. Raises ValueError for anything else."""
        if depth > DEEPEST:
            raise ValueError("the JSON is nested too deeply")
        text, position = self._text, self._skip(position)
        if text.startswith("{", position):
            return self._members(position + 1, depth)
        if text.startswith("[", position):
            return self._items(position + 1, depth)
        if text.startswith(('"', "'"), position):
            return self._string(position)
        if (scalar := SCALAR.match(text, position)) is None:
            raise self._wrong("a value is missing", position)
        word = scalar[0]
        return (WORDS[word] if word in WORDS else json.loads(word)), scalar.end()

    def _members(self, position: int, depth: int) -> tuple[dict[str, Any], int]:
        pairs: list[tuple[str, Any]] = []
        while True:
            position = self._skip(position)
            if self._text.startswith("}", position):
                return _object(pairs), position + 1
            if self._text.startswith(('"', "'"), position):
                key, position = self._string(position)
            elif (bare := BARE_KEY.match(self._text, position)) is not None:
                key, position = bare[0], bare.end()
            else:
                raise self._wrong("a key is missing", position)
            position = self._expect(":", position)
            value, position = self.value(position, depth + 1)
            pairs.append((key, value))
            position = self._next(position, "}")

    def _items(self, position: int, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while True:
            position = self._skip(position)
            if self._text.startswith("]", position):
                return items, position + 1
            value, position = self.value(position, depth + 1)
            items.append(value)
            position = self._next(position, "]")

    def _string(self, position: int) -> tuple[str, int]:
        quote = '"""' if self._text.startswith('"""', position) else self._text[position]
        found = STRINGS[quote].match(self._text, position + len(quote))
        if found is None:
            self.reached = len(self._text)
            raise ValueError("the JSON breaks off inside a string")
        self.reached = found.end()
        return _unescaped(found[1]), found.end()

    def _next(self, position: int, closing: str) -> int:
        """Behind the comma, or at what closes; a comma in front of that is let be."""
        position = self._skip(position)
        if self._text.startswith(closing, position):
            return position
        return self._expect(",", position)

    def _expect(self, mark: str, position: int) -> int:
        position = self._skip(position)
        if not self._text.startswith(mark, position):
            raise self._wrong(f"{mark!r} is missing", position)
        return position + 1

    def _skip(self, position: int) -> int:
        found = SPACE.match(self._text, position)
        self.reached = max(self.reached, position)
        return position if found is None else found.end()

    def _wrong(self, problem: str, position: int) -> ValueError:
        if position >= len(self._text):
            return ValueError("the JSON breaks off")
        return ValueError(f"the JSON is wrong: {problem} at character {position}")


def _unescaped(body: str) -> str:
    if "\\" not in body:
        return body
    maths = MATHS.search(body) is not None

    def meant(escape: re.Match[str]) -> str:
        said = escape[1]
        if len(said) > 1:
            return chr(int(said[1:], 16))
        if said in "tnr" and (
            LATEX.match(body, escape.start()) or (maths and LATEX_IN_MATHS.match(body, escape.start()))
        ):
            return escape[0]
        return MEANT.get(said, escape[0])

    text = ESCAPE.sub(meant, body)
    # A character beyond the first plane is written as two escapes.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if "\\u" in body else text
