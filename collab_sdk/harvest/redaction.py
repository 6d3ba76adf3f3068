"""Redaction: of text that may be JSON, by any redactor, and the built-in one.

That one knows e-mail addresses, phone, card and account numbers, keys, passwords and IP addresses by their patterns.
Every repetition is bounded or begins where a token begins, so that time grows with the length of the text alone.
"""

import json
import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from collab_sdk.harvest.named_secrets import NAMED_SECRET, may_name_secrets, secret_span
from collab_sdk.harvest.plain_text import original_spans, plain
from collab_sdk.secrets import KEYS

Redact = Callable[[str], str]
Which = Callable[[re.Match[str]], tuple[int, int] | None]

WORTH_A_LOOK = re.compile(r"[0-9@]")
FOUR_DIGITS = re.compile(r"[0-9](?:[ ._()/\r\n\t-]{0,3}[0-9]){3}")
"""Without these there is neither card, account, phone nor IPv4 address, and most messages are without."""
TAKEN = "\0"
"""In place of each character of what was found, so that no other pattern finds it again."""
USER_INFO = re.compile(
    r"(?<![\w+.-])[a-z][a-z0-9+.-]{1,30}://(?P<part>(?!\[)[^\s:/?#@\"'<>\0]{0,100}:(?=[^\s/?\"'<>\0]{1,200}@)"
    r"[^\s/?\"'<>\0]{1,200})@"
    r"|(?<![\w.:/-])(?P<bare>[\w.-]{1,64}:[^\s:/@\"'<>\0]{6,100})@(?:tcp\(|unix\(|[\w.-]{1,100}:[0-9]{2,5}(?!\w))",
    re.IGNORECASE,
)
EMAIL = re.compile(r"[\w.+%'-]{1,64}@(?:[\w-]{1,63}\.){1,8}(?:xn--[\w-]{2,59}|[^\W\d_]{2,24})(?![\w-])")
BETWEEN = r"[ ._\r\n\t-]{0,3}"
CARD = re.compile(
    r"(?<!\d)(?=2[2-7]|3[04-9]|[4-6]|81)"
    rf"(?:(?:\d{{4}}{BETWEEN}){{3}}\d{{1,7}}|\d{{4}}{BETWEEN}\d{{6}}{BETWEEN}\d{{4,5}})(?!\d)",
    re.ASCII,
)
DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""The digit sum of twice a digit."""
IBAN = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![\w-])")
OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
IPV4 = re.compile(rf"(?<![\w.])(?:{OCTET}\.){{3}}{OCTET}(?!\w|\.\d)")
IPV6 = re.compile(
    r"(?<![\w:.])(?=[0-9a-f:]{0,39}\d)(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4})?(?![\w:]|\.\d)", re.IGNORECASE
)
PHONE = re.compile(
    r"(?<![\w+-])(?!\d\d([./-])\d\d\1(?:19|20)\d\d(?!\d))(?:"  # no dates
    r"\+\(?\d(?:[ .()/-]{0,3}\d){6,14}"  # +49 (170) 123-4567
    r"|00[1-9](?:[ .()/-]{0,2}\d){7,13}"  # the same, dialled with 00
    r"|\(?0[1-9](?:[ .()/-]{0,2}\d){7,10}"  # 020 7946 0958
    r"|\([1-9]\d{1,3}\) ?(?!(?:19|20)\d\d-(?:19|20)\d\d)\d{3,5}[ .-]?\d{4}"  # (11) 91234-5678
    r"|1[3-9]\d[ -]\d{4}[ -]\d{4}"  # 138 1234 5678
    r"|(?:1[ .-]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-]?)[2-9]\d\d[ .-]?\d{4}"  # (415) 555-2671
    r")(?![\w-])"
)


def redact_patterns(text: str) -> str:
    """The text with `[email]`, `[key]`, `[card]`, `[iban]`, `[ip]` and `[phone]` for what looks like one.

    It is read as people type it: digits of every script, any kind of space, hyphen and dot, full-width letters, and
    without characters that nobody sees. What is not replaced stays as it was. Names, addresses and whatever else takes
    understanding stay: see `presidio_redactor`.
    """
    meant = plain(text)
    names_secrets = may_name_secrets(meant)
    if not names_secrets and not WORTH_A_LOOK.search(meant):
        return text
    found = _Found(meant)
    found.take(KEYS, "key")
    if "@" in meant:
        found.take(USER_INFO, "key", lambda one: one.span("part" if one["part"] else "bare"))
    if names_secrets:
        found.take(NAMED_SECRET, "key", secret_span)
    if "@" in meant:
        found.take(EMAIL, "email")
    if meant.count(":") > 1:
        found.take(IPV6, "ip", _ipv6_span)
    if FOUR_DIGITS.search(meant):
        found.take(IBAN, "iban", _iban_span)
        found.take(CARD, "card", _card_span)
        found.take(IPV4, "ip")
        found.take(PHONE, "phone", found.phone_span)
    return found.replaced_in(text) if found.spans else text


class _Found:
    """What has been found in a text, and what is left of it for further patterns: as long, so that places agree."""

    def __init__(self, text: str) -> None:
        self._left = text
        self.spans: list[tuple[int, int, str]] = []

    def take(self, pattern: re.Pattern[str], kind: str, which: Which = re.Match.span) -> None:
        """Take what `which` says of each match; where it says None, the next may begin within the match."""
        left: list[str] = []
        done = position = 0
        while found := pattern.search(self._left, position):
            span = which(found)
            if span is None:
                position = found.start() + 1
                continue
            start, end = span
            self.spans.append((start, end, kind))
            left += self._left[done:start], TAKEN * (end - start)
            done = end
            position = max(end, found.start() + 1)
        self._left = "".join(left) + self._left[done:] if left else self._left

    def phone_span(self, found: re.Match[str]) -> tuple[int, int] | None:
        """None for decimals; the digit before the dot may be another phone number's last."""
        dot = found.start() - 1
        is_after_digit = dot > 0 and found.string[dot] == "." and found.string[dot - 1].isdigit()
        return None if is_after_digit and (not self.spans or self.spans[-1][1] != dot) else found.span()

    def replaced_in(self, text: str) -> str:
        parts: list[str] = []
        done = 0
        for start, end, kind in original_spans(text, sorted(self.spans)):
            parts += text[done : max(done, start)], f"[{kind}]"
            done = max(done, end)
        return "".join(parts) + text[done:]


def _card_span(found: re.Match[str]) -> tuple[int, int] | None:
    """Where the check digit is right (ISO/IEC 7812-1, annex B)."""
    digits = re.sub(r"\D", "", found[0])
    total = sum(map(int, digits[::-2])) + sum(DOUBLED[int(digit)] for digit in digits[-2::-2])
    return found.span() if total % 10 == 0 else None


def _iban_span(found: re.Match[str]) -> tuple[int, int] | None:
    """Where the check digits are right (ISO 13616); words that follow look like more groups."""
    number = found[0]
    while len(digits := number.replace(" ", "")) >= 15:
        if int("".join(str(int(char, 36)) for char in digits[4:] + digits[:4])) % 97 == 1:
            return found.start(), found.start() + len(number)
        number = number[: max(number.rfind(" "), 0)]
    return None


def _ipv6_span(found: re.Match[str]) -> tuple[int, int] | None:
    try:
        IPv6Address(found[0])
    except AddressValueError:  # a time, a ratio
        return None
    return found.span()


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
