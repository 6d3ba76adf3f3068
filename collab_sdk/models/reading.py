"""Reading what a model answers with: one reader for judge, user, goal and extraction.

A reply may quote hostile text, and what it quotes must not win: an object that stands in the prompt is not the model's
own, and one that another contradicts decides nothing. Small models write JSON loosely, so the reader is lenient in
form. It is exact where that matters: a backslash that begins a formula or a pattern is kept.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from collab_sdk.models.reasoning import split_reasoning

T = TypeVar("T")

NO_OBJECT = "there is no JSON object in it"
MOST_CHARACTERS = 4_000_000
"""A longer reply is no object that anybody asked for."""
DEEPEST = 64
EFFORT = 5
"""How many times its own length a reply is read, at most, in search of an object."""
FENCED = re.compile(r"\s*(`{3,}|~{3,})[^\n`]*\n(.*?)\n?\s*\1\s*", re.DOTALL)
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
    r"\\(?:r[a-z]"
    r"|t(?:imes|heta|au|frac|binom|ilde|anh|herefore|riangle\w*|op|ext(?:bf|it|rm|tt|sf|sc|normal)?(?=\s*\{))(?![a-zA-Z])"
    r"|n(?:abla|eq|otin|exists|onumber|olimits|leq|geq|ewline|ewcommand)(?![a-zA-Z]))"
)
"""Commands of LaTeX that JSON would read as a tab, a newline or a carriage return, and that begin no word there."""
MATHS = re.compile(r"\\[(\[]|\\(?:frac|sqrt|sum|int|cdot|leq?|geq?|alpha|beta|boxed|infty|pi)(?![a-zA-Z])|\$[^$]+\$")
LATEX_IN_MATHS = re.compile(r"\\(?:t(?:o|an)|n(?:u|e|i|eg|ot))(?![a-zA-Z])")
"""Those that might begin a word ("\\ni want"): taken for LaTeX where there is other mathematics."""
UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
UNSAID = ("\\n", "\\t", "\\r", *" \t\n\r\u00a0\u2028\u2029\\\"'`")
"""What differs between a text and its quotation: white space, quotation marks, and how JSON writes them."""


def read_reply(text: str, accept: Callable[[Any], T], *, prompt: Iterable[str] = ()) -> T:
    """What `accept` makes of the one object that a reply answers with.

    `accept` raises ValueError for an object in another form. `prompt` holds the texts that the model was shown. A reply
    that is an object as a whole is taken; else the last one in it that `accept` takes, after all reasoning. Raises
    ValueError if there is none, if it is only quoted from the prompt, and if there are several that differ.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters")
    text, _ = split_reasoning(text, is_json=True)
    try:
        whole, said = _whole(text)
    except ValueError:
        objects, problem = _objects_in(text)
    else:
        # A list may hold one object, or several drafts of it.
        objects = [(each, said) for each in (whole if isinstance(whole, list) else [whole]) if isinstance(each, dict)]
        problem = ValueError(NO_OBJECT)
    if objects and (shown := _plain("\n".join(prompt))):
        own = [(value, said) for value, said in objects if _plain(said) not in shown]
        if not own:
            raise ValueError("its object is only quoted from what it was shown")
        objects = own
    accepted: list[T] = []
    for value, _ in objects:
        try:
            accepted.append(accept(_unwrapped(value, accept)))
        except ValueError as error:
            problem = error
    if not accepted:
        raise problem
    if any(each != accepted[-1] for each in accepted):
        raise ValueError("it holds several answers that differ")
    return accepted[-1]


def _whole(text: str) -> tuple[Any, str]:
    """The value that the reply is, but for a fence around it, and as it is written. Raises ValueError if it is more."""
    if (fenced := FENCED.fullmatch(text)) is not None:
        text = fenced[2]
    text = text.strip()
    if not text.startswith(("{", "[")):
        raise ValueError(NO_OBJECT)
    if "\\" not in text:
        try:
            return STRICT.decode(text), text
        except (ValueError, RecursionError):  # written loosely
            pass
    value, end = _Parser(text).value(0)
    if end < len(text):
        raise ValueError("there is text behind the object")
    return value, text


def _objects_in(text: str) -> tuple[list[tuple[Any, str]], ValueError]:
    """The complete objects of a text, none of them inside another, each as it is written; and why there is none."""
    objects: list[tuple[Any, str]] = []
    problem = ValueError(NO_OBJECT)
    parser, position, spent = _Parser(text), text.find("{"), 0
    while position >= 0:
        try:
            value, end = parser.value(position)
        except ValueError as error:
            problem, end = error, position + 1
            spent += max(parser.reached - position, 1)
            if spent > EFFORT * len(text) + 10_000:
                raise ValueError("its JSON is too tangled to read") from None
        else:
            objects.append((value, text[position:end]))
        position = text.find("{", end)
    return objects, problem


def _unwrapped(value: Any, accept: Callable[[Any], object]) -> Any:
    """The value, or what a model that took the schema for the form has put under its `properties`."""
    if isinstance(value, dict) and isinstance(inner := value.get("properties"), dict):
        try:
            accept(value)
        except ValueError:
            return inner
    return value


def _plain(text: str) -> str:
    if "\\u" in text:
        text = UNICODE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    for each in UNSAID:
        text = text.replace(each, "")
    return text.casefold()


def read_fenced(text: str, tag: str) -> str:
    """What stands between `<tag>` and `</tag>`, to the letter but for the line breaks at both ends.

    A code fence around all of the reply will do as well. Raises ValueError where there is no such text, or two.
    """
    text, _ = split_reasoning(text)
    opening, closing = f"<{tag}>", f"</{tag}>"
    start, end = text.find(opening), text.rfind(closing)
    if start < 0 or end < start:
        if (fenced := FENCED.fullmatch(text)) is not None and opening not in text:
            return fenced[2]
        raise ValueError(f"it must stand between {opening} and {closing}")
    inside = text[start + len(opening) : end]
    if closing in inside and opening in inside[inside.find(closing) :]:
        raise ValueError(f"{opening} stands in it more than once")
    return inside.strip("\r\n")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs) and any(found[key] != value for key, value in pairs):
        raise ValueError("the same key stands there twice")
    return found


STRICT = json.JSONDecoder(strict=False, parse_constant=_refuse, object_pairs_hook=_object)


class _Parser:
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
