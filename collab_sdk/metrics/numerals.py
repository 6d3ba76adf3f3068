"""Reading an answer that is a number, with a unit of a closed list, and comparing it with another one.

What is not such a number is not read, and what could mean several things is left undecided: "1.000" may be one or a
thousand, "0.333" may be a third, and "2 million" may answer a question for millions.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

LONGEST = 100
"""Characters of what is read as a number."""
WORDS = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12} | {
    "lakh": 10**5,
    "crore": 10**7,
}
"""What multiplies the number before it."""
PERCENT = "percent"
DIMENSIONS: Mapping[str, Mapping[str, Fraction]] = MappingProxyType(
    {
        dimension: {unit: Fraction(size) for size, units in sizes.items() for unit in units.split(", ")}
        for dimension, sizes in {
            PERCENT: {"1/100": "%, percent, per cent"},
            "length": {
                **{"1": "mm, millimeter, millimetre", "10": "cm, centimeter, centimetre", "1000": "m, meter, metre"},
                **{"1e6": "km, kilometer, kilometre", "25.4": "inch, inches", "304.8": "ft, foot, feet"},
                **{"914.4": "yard", "1609344": "mile"},
            },
            "area": {
                **{"1": "mm²", "100": "cm², square centimeter, square centimetre"},
                **{"1e6": "m², square meter, square metre", "1e12": "km², square kilometer, square kilometre"},
            },
            "volume": {
                **{"1": "mm³", "1000": "cm³, cubic centimeter, cubic centimetre, ml, mL, milliliter, millilitre"},
                **{"1e6": "L, liter, litre", "1e9": "m³, cubic meter, cubic metre"},
            },
            "mass": {"1": "mg, milligram", "1000": "g, gram", "1e6": "kg, kilogram"},
            "time": {
                **{"1/1000": "ms, millisecond", "1": "s, sec, second", "60": "min, minute", "3600": "h, hr, hour"},
                **{"86400": "day", "604800": "week"},
            },
            "months": {"1": "month", "12": "year"},
            "speed": {"1": "km/h", "3.6": "m/s", "1.609344": "mph"},
            "dollars": {"1": "$, US$, USD, dollar", "1/100": "¢, cent"},
            "euros": {"1": "€, EUR, euro", "1/100": "cent"},
            "sterling": {"1": "£, GBP", "1/100": "pence"},
            "yen": {"1": "¥, yen"},
            "rupees": {"1": "₹, rupee"},
            "angle": {"1": "°, degree"},
            "celsius": {"1": "°C"},
            "fahrenheit": {"1": "°F"},
        }.items()
    }
)
"""The units that an answer may have, each with its size in the first unit of its dimension."""
MILLIONS = "m"
"""Metres, and also what some write for millions."""
CURRENCIES = ("US$", "$", "€", "£", "¥", "₹")
"""Units that stand before the number."""
SIGNS = str.maketrans({"−": "-", "\u00a0": "\u202f", "\u2009": "\u202f", "٫": ".", "٬": ","})
RAISED = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")
POWER = re.compile(r"10([⁻⁺]?[⁰¹²³⁴-⁹]+)(?![⁰¹²³⁴-⁹])")
SIGN = re.compile(r"(?P<minus>-(?!\s)|minus\s+|negative\s+)|\+(?!\s)", re.IGNORECASE)
"""A hyphen before a space may begin a list."""
MULTIPLIED = re.compile(rf"(?P<number>.*\S)\s+(?P<word>{'|'.join(WORDS)})", re.DOTALL)
SCIENTIFIC = re.compile(
    r"(?:(?P<number>.*?)\s*(?:[eE]|[×x*·]\s*10\s*\^)|10\s*\^)\s*\{?(?P<exponent>[-+]?\d{1,3})\}?", re.DOTALL
)
FRACTION = re.compile(r"(?:(?P<whole>\d+)[ \u202f])?(?P<over>\d{1,20})/(?P<under>\d{1,20})")
LATEX_FRACTION = re.compile(r"\\frac\s*(?:\{(\d+)\}\s*\{(\d+)\}|(\d)\s*(\d)(?!\d))")
ENGLISH = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")
CONTINENTAL = re.compile(
    r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:[ \u202f'’]\d{3})+(?:,\d+)?"
)
AMBIGUOUS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
"""A thousand and more to some readers, and a number with three decimals to others."""
OTHER_SCALES = frozenset({10**3, 10**6, 10**9})


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """A number as somebody wrote it."""

    value: Fraction
    others: tuple[Fraction, ...] = ()
    """What else the same signs may mean."""
    step: Fraction = Fraction(0)
    """How far it may be from what it was rounded from; 0 for a fraction."""
    sure: bool = True
    """Whether it can be found different from another number, and not only equal to it."""
    word: int = 1
    """What it was multiplied by in words; the value is the product."""
    unit: str = ""

    def times(self, factor: Fraction) -> "Quantity":
        others = tuple(other * factor for other in self.others)
        return replace(self, value=self.value * factor, others=others, step=self.step * abs(factor))


def same_quantity(reference: str, answer: str) -> bool | None:
    """Whether both are the same number; None where one is none, or where it is not certain."""
    expected, given = read_quantity(reference), read_quantity(answer)
    if expected is None or given is None:
        return None
    if expected.unit and given.unit:
        sizes = [(units[expected.unit], units[given.unit]) for units in _dimensions(expected) if given.unit in units]
        return _same(expected.times(sizes[0][0]), given.times(sizes[0][1]), scales=()) if sizes else None
    if not expected.unit and not given.unit:
        return _same(expected, given)
    bare, other = (given, expected) if expected.unit else (expected, given)
    if other.unit == MILLIONS:
        return None
    is_percentage = other.unit in DIMENSIONS[PERCENT]
    share = other.times(Fraction(1, 100)) if is_percentage else other
    # A reference of 50 % is met by 50, since answers come without their unit. A reference of 50 may be no percentage.
    if bare.value == share.value or (bare is given and bare.value == other.value):
        return True
    if not is_percentage and other.unit not in CURRENCIES:
        return None  # the reference may be in another unit
    readings = [other.times(units[other.unit] / size) for units in _dimensions(other) for size in units.values()]
    return False if all(_same(bare, reading) is False for reading in (*readings, share)) else None


def are_quantities(*texts: str) -> bool:
    return all(read_quantity(text) is not None for text in texts)


def read_quantity(text: str) -> Quantity | None:
    """The number that `text` is; None if it is anything else ("Apollo 11", "about 3", "5 dozen eggs")."""
    if len(text) > LONGEST:
        return None
    text = "".join(str(unicodedata.digit(each)) if each.isdecimal() else each for each in text.strip())
    text = POWER.sub(lambda match: "10^" + match[1].translate(RAISED), text.translate(SIGNS))
    sign, text = _signed(text)
    for unit, number in _without_unit(text):
        also, number = _signed(number) if unit in CURRENCIES and sign > 0 else (1, number)  # $-3
        if (found := _multiplied(number)) is not None:
            return replace(found.times(Fraction(sign * also)), unit=unit)
    return None


def _signed(text: str) -> tuple[int, str]:
    match = SIGN.match(text)
    return (-1 if match["minus"] else 1, text[match.end() :]) if match else (1, text)


def _without_unit(text: str) -> Iterator[tuple[str, str]]:
    yield "", text
    for unit in CURRENCIES:
        if text.startswith(unit):
            yield unit, text[len(unit) :].strip()
    for unit in {unit for units in DIMENSIONS.values() for unit in units}:
        is_word = len(unit) > 3 or unit == "day"
        for written in (unit, f"{unit}s") if is_word else (unit,):
            folded = text.lower() if is_word else text
            before = text[: -len(written)]
            apart = before[-1:].isspace() or (before[-1:].isdigit() and unit != "s")  # "20s" are years too
            if folded.endswith(written) and (apart or not written[0].isalpha()):
                yield unit, before.strip()


def _dimensions(quantity: Quantity) -> list[Mapping[str, Fraction]]:
    return [units for units in DIMENSIONS.values() if quantity.unit in units]


def _multiplied(text: str) -> Quantity | None:
    match = MULTIPLIED.fullmatch(text)
    if match is None:
        return _number(text)
    factor, number = WORDS[match["word"]], _number(match["number"])
    return None if number is None else replace(number.times(Fraction(factor)), word=factor)


def _number(text: str) -> Quantity | None:
    text = LATEX_FRACTION.sub(lambda match: f" {match[1] or match[3]}/{match[2] or match[4]}", text).strip()
    if text and text[-1].isnumeric() and not text[-1].isdecimal() and (not text[:-1] or text[:-1].isdecimal()):  # 3½
        vulgar = Fraction(unicodedata.numeric(text[-1])).limit_denominator(100)
        return Quantity(value=int(text[:-1] or 0) + vulgar) if vulgar < 1 else None
    if match := FRACTION.fullmatch(text):
        over, under = int(match["over"]), int(match["under"])
        if under == 0 or (match["whole"] and over >= under):
            return None
        others = () if match["whole"] else (Fraction(over),)  # eight of ten
        return Quantity(value=int(match["whole"] or 0) + Fraction(over, under), others=others)
    if (match := SCIENTIFIC.fullmatch(text)) and (match["number"] is None or ENGLISH.fullmatch(match["number"])):
        found = Quantity(value=Fraction(1)) if match["number"] is None else _plain(match["number"])
        return replace(found.times(Fraction(10) ** int(match["exponent"])), others=())
    return _plain(text) if ENGLISH.fullmatch(text) or CONTINENTAL.fullmatch(text) else None


def _plain(text: str) -> Quantity:
    """Of digits with their separators."""
    if not ENGLISH.fullmatch(text):
        plain = re.sub(r"[^\d,]", "", text).replace(",", ".")
        return Quantity(value=Fraction(plain), step=_step(plain), sure=False)
    plain = text.replace(",", "")
    others = (Fraction(plain) / 1000 if "," in text else Fraction(plain) * 1000,) if AMBIGUOUS.fullmatch(text) else ()
    return Quantity(value=Fraction(plain), step=_step(plain), others=others)


def _step(digits: str) -> Fraction:
    whole, point, decimals = digits.partition(".")
    if point:
        return Fraction(1, 10 ** len(decimals))
    zeros = len(whole) - len(whole.rstrip("0"))
    return Fraction(10**zeros if zeros > 1 else 1, 2)


def _same(one: Quantity, other: Quantity, *, scales: Collection[int] = OTHER_SCALES) -> bool | None:
    """None where one may be the other, rounded, on another scale, or as people elsewhere write it."""
    if one.value == other.value:
        return True
    gap, low, high = abs(one.value - other.value), *sorted((abs(one.value), abs(other.value)))
    if one.step != other.step and gap <= max(one.step, other.step):
        return None
    if low and scales and (high / low in scales or (high / low == 100 and low <= 1)):
        return None
    if one.word != other.word and high / (low or 1) in {*OTHER_SCALES, one.word, other.word}:
        return None
    if one.value in other.others or other.value in one.others or not (one.sure and other.sure):
        return None
    return False
