"""Redaction: of text that may be JSON, by any redactor, and the built-in one.

That one knows e-mail addresses, phone and card numbers, keys and IP addresses by their patterns. Every
repetition is bounded or begins where a token begins, so that time grows with the length of the text alone.
"""

import json
import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from collab_sdk.secrets import KEYS

Redact = Callable[[str], str]


WORTH_A_LOOK = re.compile(r"[\d@]")
FOUR_DIGITS = re.compile(r"\d(?:[ .()/-]{0,2}\d){3}")
"""Without these there is neither card, phone nor IPv4 address, and most messages are without."""
SECRET_WORDS = ("key", "secret", "token", "pass", "pwd", "bearer")
EMAIL = re.compile(r"[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
NAMED_SECRET = re.compile(
    r"(?<![^\W_])(api[_-]?key|access[_-]?key|secret|token|passw(?:or)?d|pwd|bearer)"
    r"(\"?\s{0,3}(?:[:=]\s{0,3}|\bis\s|(?<=bearer)\s)[\"']?)(?=[^\s\"',;]{0,199}\d)[^\s\"',;]{8,200}",
    re.IGNORECASE,
)
CARD = re.compile(r"(?<!\d)(?=[2-6])(?:(?:\d{4}[ -]?){3}\d{1,7}|\d{4}[ -]?\d{6}[ -]?\d{4,5})(?!\d)")
DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""The digit sum of twice a digit."""
OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
IPV4 = re.compile(rf"(?<![\w.])(?:{OCTET}\.){{3}}{OCTET}(?!\w|\.\d)")
IPV6 = re.compile(
    r"(?<![\w:.])(?=[0-9a-f:]{0,39}\d)(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4})?(?![\w:]|\.\d)", re.IGNORECASE
)
PHONE = re.compile(
    r"(?<![\w+-])(?<!\d\.)(?!\d\d([./-])\d\d\1(?:19|20)\d\d(?!\d))(?:"  # no dates
    r"\+\(?\d(?:[ .()/-]{0,2}\d){6,14}"  # +49 (170) 123-4567
    r"|00[1-9](?:[ .()/-]{0,2}\d){7,13}"  # the same, dialled with 00
    r"|\(?0[1-9](?:[ .()/-]{0,2}\d){7,10}"  # 020 7946 0958
    r"|(?:1[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-]?)[2-9]\d\d[ .-]?\d{4}"  # (415) 555-2671
    r")(?![\w-])"
)


def redact_patterns(text: str) -> str:
    """The text with `[email]`, `[key]`, `[card]`, `[ip]` and `[phone]` for what looks like one.

    Names, addresses and whatever else takes understanding stay: see `presidio_redactor`.
    """
    if not WORTH_A_LOOK.search(text):
        return text
    text = KEYS.sub("[key]", text)
    lowered = text.lower()
    if any(word in lowered for word in SECRET_WORDS):
        text = NAMED_SECRET.sub(r"\1\2[key]", text)
    if "@" in text:
        text = EMAIL.sub("[email]", text)
    if text.count(":") > 1:
        text = IPV6.sub(_without_ipv6, text)
    if not FOUR_DIGITS.search(text):
        return text
    text = _without_cards(text)
    text = IPV4.sub("[ip]", text)
    return PHONE.sub("[phone]", text)


def _without_cards(text: str) -> str:
    parts: list[str] = []
    start = 0
    found = CARD.search(text)
    while found:
        if _is_luhn(found[0]):
            parts += text[start : found.start()], "[card]"
            start = position = found.end()
        else:
            position = found.start() + 1  # the card may begin with the next group of digits
        found = CARD.search(text, position)
    return "".join(parts) + text[start:]


def _is_luhn(number: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    digits = number.replace(" ", "").replace("-", "")
    return (sum(map(int, digits[::-2])) + sum(DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def _without_ipv6(found: re.Match[str]) -> str:
    try:
        IPv6Address(found[0])
    except AddressValueError:  # a time, a ratio
        return found[0]
    return "[ip]"


def redact_text(text: str, redact: Redact) -> str:
    """The text redacted as a whole and, if it is JSON, by its values, which escapes hide from what reads the whole."""
    redacted = redact(text)
    if text.lstrip()[:1] not in ("{", "[") or (redacted == text and "\\" not in text):
        return redacted
    value = _parsed(text)
    if value is None or ("\\" not in text and _parsed(redacted) is not None):
        return redacted
    by_value = _redacted_part(value, redact)
    if by_value == value:
        return redacted
    return redact(json.dumps(by_value, ensure_ascii=False))  # a password shows only beside its name


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _redacted_part(value: Any, redact: Redact) -> Any:
    if isinstance(value, dict):
        return {redact(key): _redacted_part(part, redact) for key, part in value.items()}
    if isinstance(value, list):
        return [_redacted_part(part, redact) for part in value]
    if isinstance(value, str):
        return redact_text(value, redact)
    if value is None or isinstance(value, bool):
        return value
    number = json.dumps(value)
    redacted = redact(number)
    return value if redacted == number else redacted
