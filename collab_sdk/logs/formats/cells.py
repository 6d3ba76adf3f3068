"""Numbers, and yes or no: JSON has them as values, and tables as the text of their cells."""

import re
from typing import Any

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_LARGEST = 1e300
"""JSON's integers may be larger than any float."""
_WORDS = {"true": True, "t": True, "yes": True, "y": True, "false": False, "f": False, "no": False, "n": False}
"""As Python, pandas, SQL and people write them."""


def number_of(value: Any) -> float | None:
    """The number that a value is, or that its text writes; None for what is none, such as "N/A", NaN or true."""
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return None
        value = int(text) if text.isdecimal() else float(text)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if abs(value) < _LARGEST else None


def yes_or_no(value: Any) -> bool | None:
    """Whether a value says yes, in a word, as true or as 1; None for what says neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    number = number_of(value)
    return bool(number) if number in (0, 1) else None
