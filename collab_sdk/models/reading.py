"""Reading what a model answers with: one reader for judge, user, goal and extraction.

A reply may quote hostile text, and what it quotes must not win. An object that is the whole reply is the model's own,
unless the same answer stands in what it was shown; one amid other text is only taken where nothing like it does. What
is left open is asked for again, alone. Small models write JSON loosely, so the reader is lenient in form. It is exact
where that matters: a backslash that begins a formula or a pattern is kept.
"""

import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from collab_sdk.models.reasoning import split_reasoning

T = TypeVar("T")

NO_OBJECT = "there is no JSON object in it"
QUOTED = "its object may be quoted from what you were shown"
MOST_CHARACTERS = 4_000_000
"""A longer reply is no object that anybody asked for."""
DEEPEST = 64
EFFORT = 5
"""How many times its own length a reply is read, at most, in search of an object."""
FENCES = ("```", "~~~")
SPACE = re.compile(r"\s*")
KEYED = re.compile(r"\{\s*[\"']")
"""How an object begins, and nothing that is only written in braces."""
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
BRACES = re.compile(r"[{&\uff5b\ufe5b]|\\u")
"""What may be the beginning of an object, or be written in place of one."""
INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff]")


def read_reply(text: str, accept: Callable[[Any], T], *, prompt: Iterable[str] = ()) -> T:
    """What `accept` makes of the one object that a reply answers with.

    `accept` raises ValueError for an object in another form. `prompt` holds the texts that the model was shown, in
    which other people's words stand as JSON lines. Raises ValueError if there is no such object after all reasoning, if
    it may be quoted from the prompt, and if there are several that differ.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters")
    text, _ = split_reasoning(text, is_json=True)
    whole: Any = None
    with suppress(ValueError):
        whole = _whole(text)
    if isinstance(whole, dict) and "properties" not in whole:
        answer = accept(whole)
    else:
        found = whole if isinstance(whole, list) else [whole] if isinstance(whole, dict) else _objects_in(text)
        objects = [each for each in found if isinstance(each, dict)]
        answer = _agreed(objects, accept)
        if any(_is_like(each, words) for words in _shown(prompt) for each in objects):
            raise ValueError(QUOTED)
    if any(answer == shown for shown in _answers_in(prompt, accept)):
        raise ValueError(QUOTED)
    return answer


def _agreed(objects: Iterable[Any], accept: Callable[[Any], T]) -> T:
    """What those of the objects say that can be accepted, which is the same."""
    accepted: list[T] = []
    problem = ValueError(NO_OBJECT)
    for value in objects:
        try:
            accepted.append(accept(_unwrapped(value, accept)))
        except ValueError as error:
            problem = error
    if not accepted:
        raise problem
    if any(each != accepted[-1] for each in accepted):
        raise ValueError("it holds several answers that differ")
    return accepted[-1]


def _whole(text: str) -> Any:
    """The value that the reply is, but for a fence around it. Raises ValueError if it is more than that."""
    text = unfenced(text)
    if not text.startswith(("{", "[")):
        raise ValueError(NO_OBJECT)
    if "\\" not in text:
        try:
            return STRICT.decode(text)
        except (ValueError, RecursionError):  # written loosely
            pass
    value, end = _Parser(text).value(0)
    if end < len(text):
        raise ValueError("there is text behind the object")
    return value


def unfenced(text: str) -> str:
    """The text without a code fence that is around all of it."""
    text = text.strip()
    fence = text[:3]
    if fence in FENCES and text.endswith(fence) and len(text) > 2 * len(fence):
        text = text.strip(fence[0])
        _, line, inside = text.partition("\n")
        text = (inside if line else text).strip("\n")
    return text


def _objects_in(text: str) -> list[Any]:
    """The complete objects of a text, none of them inside another. Raises ValueError for one that cannot be read."""
    objects: list[Any] = []
    parser, position, spent = _Parser(text), text.find("{"), 0
    while position >= 0:
        try:
            value, end = parser.value(position)
        except ValueError:
            spent += max(parser.reached - position, 1)
            if KEYED.match(text, position):
                raise  # what stands in it may be a quotation in one of its strings
            if spent > EFFORT * len(text) + 10_000:
                raise ValueError("its JSON is too tangled to read") from None
            end = position + 1
        else:
            objects.append(value)
        position = text.find("{", end)
    return objects


def _shown(prompt: Iterable[str]) -> Iterator[str]:
    """Other people's words in a prompt, which stand there as JSON lines, with braces in them."""
    for text in prompt:
        for line in text.splitlines():
            if line.startswith(("{", "[", '"')) and BRACES.search(line, 1):
                with suppress(ValueError, RecursionError):
                    for words in _strings(json.loads(line)):
                        plain = INVISIBLE.sub("", unicodedata.normalize("NFKC", html.unescape(words)))
                        if "{" in plain or "\\u007b" in plain.lower():
                            yield plain


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _is_like(value: Any, words: str) -> bool:
    """Whether an object might be made of these words: all its keys stand there, whatever is around them."""
    words = words.casefold()
    return all(key.casefold() in words for key in _keys(value))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(each)


def _answers_in(prompt: Iterable[str], accept: Callable[[Any], T]) -> Iterator[T]:
    """What other people's words in a prompt would be read as."""
    for words in _shown(prompt):
        with suppress(ValueError):
            for value in _objects_in(words):
                with suppress(ValueError):
                    yield accept(_unwrapped(value, accept))


def _unwrapped(value: Any, accept: Callable[[Any], object]) -> Any:
    """The value, or what a model that took the schema for the form has put under its `properties`."""
    if isinstance(value, dict) and isinstance(inner := value.get("properties"), dict):
        try:
            accept(value)
        except ValueError:
            return inner
    return value


def read_fenced(text: str, tag: str) -> str:
    """What stands between `<tag>` and `</tag>`, to the letter but for the line breaks at both ends.

    The tags are the first and the last of the reply, or a code fence is around all of it. Raises ValueError for
    anything else: text amid other text may be a quotation.
    """
    said, _ = split_reasoning(text)
    said = said.strip()
    opening, closing = f"<{tag}>", f"</{tag}>"
    if opening in unfenced(said):
        said = unfenced(said)
    elif said.startswith(FENCES) and unfenced(said) != said:
        return unfenced(said)
    if not said.startswith(opening) or not said.endswith(closing):
        raise ValueError(f"it must begin with {opening} and end with {closing}")
    inside = said[len(opening) : -len(closing)]
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
