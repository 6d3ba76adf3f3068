"""Reading what a model answers with: one reader for judge, user, goal and extraction.

A reply may quote hostile text, and what it quotes must not win. An object that is the whole reply is the model's own,
unless the same answer stands in what it was shown; one amid other text is only taken where nothing like it does. What
is left open is asked for again, alone.
"""

import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

from collab_sdk.models.loose_json import STRICT, LooseParser
from collab_sdk.models.reasoning import split_reasoning

T = TypeVar("T")

NO_OBJECT = "there is no JSON object in it"
QUOTED = "its object may be quoted from what you were shown"
MOST_CHARACTERS = 4_000_000
"""A longer reply is no object that anybody asked for."""
EFFORT = 5
"""How many times its own length a reply is read, at most, in search of an object."""
FENCES = ("```", "~~~")
KEYED = re.compile(r"\{\s*[\"']")
"""How an object of JSON begins, and nothing that is only written in braces."""
BRACES = re.compile(r"[{&\uff5b\ufe5b]|\\u")
"""What may be the beginning of an object, or be written in place of one."""
ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
SHORT = 40
"""Characters of an object that a model may well have thought of itself."""
INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff]")


def read_reply(text: str, accept: Callable[[Any], T], *, prompt: Iterable[str] = (), thought: str = "") -> T:
    """What `accept` makes of the one object that a reply answers with.

    `accept` raises ValueError for an object in another form. `prompt` holds the texts that the model was shown, in
    which other people's words stand as JSON lines, and `thought` is what was cut off the reply before. Raises
    ValueError if there is no such object after all reasoning, if it may be quoted from the prompt, and if there are
    several that differ.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters")
    text, cut = split_reasoning(text, is_json=True)
    whole: Any = None
    with suppress(ValueError):
        whole = _whole(text)
    shown = _Shown(prompt)
    if isinstance(whole, dict) and "properties" not in whole:
        answer, taken = accept(whole), [whole]
    else:
        found = whole if isinstance(whole, list) else [whole] if isinstance(whole, dict) else _objects_in(text)
        answer, taken = _agreed([each for each in found if isinstance(each, dict)], accept)
        if any(map(shown.is_like, taken)):
            raise ValueError(QUOTED)
    if any(map(shown.holds, taken)) and answer in shown.answers(accept):
        raise ValueError(QUOTED)
    # What ends a thought may be quoted too: then the model's own answer has been cut off with it.
    if any(map(shown.is_like, taken)) and any(answer != other for other in _answers_in(f"{thought}\n{cut}", accept)):
        raise ValueError(QUOTED)
    return answer


def _agreed(objects: Iterable[Any], accept: Callable[[Any], T]) -> tuple[T, list[Any]]:
    """What those of the objects say that can be accepted, which is the same; and which these are."""
    accepted: list[T] = []
    taken: list[Any] = []
    problem = ValueError(NO_OBJECT)
    for value in objects:
        try:
            accepted.append(accept(_unwrapped(value, accept)))
            taken.append(value)
        except ValueError as error:
            problem = error
    if not accepted:
        raise problem
    if any(each != accepted[-1] for each in accepted):
        raise ValueError("it holds several answers that differ")
    return accepted[-1], taken


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
    value, end = LooseParser(text).value(0)
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


def _objects_in(text: str, *, all_of_them: bool = True) -> list[Any]:
    """The complete objects of a text, none of them inside another.

    Raises ValueError for one that cannot be read, unless `all_of_them` need not be.
    """
    objects: list[Any] = []
    parser, position, spent = LooseParser(text), text.find("{"), 0
    while position >= 0:
        try:
            value, end = parser.value(position)
        except ValueError:
            spent += max(parser.reached - position, 1)
            if all_of_them and KEYED.match(text, position):
                raise  # what stands in it may be a quotation in one of its strings
            if spent > EFFORT * len(text) + 10_000:
                raise ValueError("its JSON is too tangled to read") from None
            end = position + 1
        else:
            objects.append(value)
        position = text.find("{", end)
    return objects


class _Shown:
    """Other people's words in a prompt, which stand there as JSON lines: what a reply may have quoted."""

    def __init__(self, prompt: Iterable[str]) -> None:
        self._lines = [line for text in prompt for line in text.splitlines() if line.startswith(("{", "[", '"'))]

    @cached_property
    def _words(self) -> list[str]:
        """Text by text, without what only looks different; none where none of them holds a brace."""
        if not any(BRACES.search(line, 1) for line in self._lines):
            return []
        words: list[str] = []
        for line in self._lines:
            with suppress(ValueError, RecursionError):
                words += map(_plain, _strings(json.loads(line)))
        return words if any("{" in each for each in words) else []

    @cached_property
    def _folded(self) -> str:
        return "\n".join(self._words).casefold()

    def holds(self, value: dict[str, Any]) -> bool:
        """Whether the keys of an object stand there, and it is not so short that anybody may say the same."""
        return len(str(value)) > SHORT and all(key.casefold() in self._folded for key in value)

    def is_like(self, value: dict[str, Any]) -> bool:
        """Whether an object might be made of these words: its keys stand there, whatever is around them."""
        if not self._words:
            return False
        within = [key for each in value.values() for key in _keys(each)]
        outer = [re.escape(key.casefold()) for key in value if key.isidentifier()]
        return all(key.casefold() in self._folded for key in within if key.isidentifier()) and all(
            re.search(rf"{key}\W{{0,9}}[:=]", self._folded) for key in outer
        )

    def answers(self, accept: Callable[[Any], T]) -> Iterator[T]:
        """What these words would be read as."""
        for line in self._lines:
            with suppress(ValueError, RecursionError):
                for words in _strings(json.loads(line)):
                    yield from _answers_in(words, accept)
        for words in self._words:
            yield from _answers_in(words, accept)


def _answers_in(text: str, accept: Callable[[Any], T]) -> Iterator[T]:
    """What the objects in a text would be read as."""
    with suppress(ValueError):
        for value in _objects_in(text, all_of_them=False):
            with suppress(ValueError):
                yield accept(_unwrapped(value, accept))


def _plain(words: str) -> str:
    words = ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), html.unescape(words))
    return INVISIBLE.sub("", unicodedata.normalize("NFKC", words))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(each)


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
    elif said.startswith(FENCES) and (code := unfenced(said)) != said:
        if said[:3] in code:
            raise ValueError("there is more than one code fence in it")
        return code
    if not said.startswith(opening) or not said.endswith(closing):
        raise ValueError(f"it must begin with {opening} and end with {closing}")
    inside = said[len(opening) : -len(closing)]
    if closing in inside and opening in inside[inside.find(closing) :]:
        raise ValueError(f"{opening} stands in it more than once")
    return inside.strip("\r\n")
