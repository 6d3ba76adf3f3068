"""Reading numbers out of answers."""

import re
from fractions import Fraction

SIGNS = "$€£¥₹%‰°"
"""What may stand around a number without making it another one."""
PLAIN = {ord("−"): "-", **dict.fromkeys(map(ord, SIGNS))}
# A digit inside a word ("B12") is no number; a hyphen after a word ("10-12") or before a space ("- 42") is no minus.
NUMERAL = re.compile(rf"(?:(?<!\w)[-+−])?(?:[{SIGNS}]\s?)?(?<![\w.,/])\.?\d[\d.,/]*(?:[eE][-+]?\d{{1,3}}(?!\d))?")
READABLE = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?:/\d+)?")
AROUND = re.compile(rf"\s*(?P<numeral>{NUMERAL.pattern})\s?[{SIGNS}]?\s*\.?\s*")
FORMULA = re.compile(
    r"\\(?!\$|%|boxed|text)|[\^√π!]|\d\s*\+|[\w)]\s*\*\s*[\w(]|\d[A-Za-z]\b|\b(?:pi|sqrt|log|ln|sin|cos|tan|exp)\b"
)
"""Where a number may be a part of another one: 3 is neither 3 pi nor the root of 3."""


def whole_number(text: str) -> Fraction | None:
    """The number that `text` is, signs of currency and percent aside; None if it is anything else ("Apollo 11")."""
    match = AROUND.fullmatch(text)
    return _read(match["numeral"]) if match else None


def only_number(text: str) -> Fraction | None:
    """The one number that `text` speaks of, that after the last "=" where there is one.

    None for none or several, and for one in a formula.
    """
    last = text.rpartition("=")[2]
    numbers = set() if FORMULA.search(last) else {_read(numeral) for numeral in NUMERAL.findall(last)}
    return numbers.pop() if len(numbers) == 1 else None


def _read(numeral: str) -> Fraction | None:
    plain = "".join(numeral.translate(PLAIN).split()).rstrip(".,/")
    if not READABLE.fullmatch(plain):  # "3,14" and "10/12/2024" mean different things to different people
        return None
    try:
        return Fraction(plain.replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return None
