"""Text as people mean it, whatever keyboard, browser or phone wrote it: what patterns are looked for in."""

import re
import unicodedata

_UNCOMMON = re.compile(r"[^\x00-\x7f\xc0-\xff\u2018-\u201d\u0400-\u0481\u3041-\u3094\u4e00-\u9fff\uac00-\ud7a3]")
"""All but the letters and quotation marks that most texts are made of, and that mean themselves."""
_HYPHENS = "\u2212\u2043\u02d7\u30fc\u2500"  # minus, bullet, modifier, Japanese lengthening, box drawing
_DOTS = "\u00b7\u2022\u2027\u2219\u22c5\u3002\uff61"  # middle dots, bullets and East Asian full stops
_INVISIBLE = "\u115f\u1160\u3164\uffa0\u2800"
_COMBINING = ("Mn", "Me")
_MANY = 50
_REMEMBERED = 10_000


def plain(text: str) -> str:
    """A copy with plain spaces, hyphens, dots and digits, in NFKC, and without what nobody sees."""
    if not text.isascii():
        uncommon = set(_UNCOMMON.findall(text))
        if len(uncommon) > _MANY:
            return text.translate(_TABLE)
        for char in uncommon:  # few as a rule: faster than translating all
            if (meant := _TABLE[ord(char)]) != char:
                text = text.replace(char, meant)
    return text


def original_spans(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Where the ordered spans of `plain(text)`, each with its kind, are in the text."""
    if text.isascii():
        return spans
    places = [place for place, char in enumerate(text) for _ in _TABLE[ord(char)]]
    found = []
    for start, end, kind in spans:
        first, last = places[start], places[end - 1] + 1
        while last < len(text) and unicodedata.category(text[last]) in _COMBINING:
            last += 1  # an accent belongs to the letter before it
        found.append((first, last, kind))
    return found


class _Table(dict[int, str]):
    """What each character means, looked up when it is first seen."""

    def __missing__(self, code: int) -> str:
        meant = _meant(chr(code))
        if len(self) < _REMEMBERED:
            self[code] = meant
        return meant


def _meant(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cf", *_COMBINING) or char in _INVISIBLE:
        return ""
    if category == "Zs":
        return " "
    if category == "Pd" or char in _HYPHENS:
        return "-"
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if char in _DOTS:
        return "."
    normal = unicodedata.normalize("NFKC", char)
    return normal if normal == char else "".join(map(_meant, normal))


_TABLE = _Table()
