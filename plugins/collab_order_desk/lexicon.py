"""The words for what can be ordered: which values a text names, and which of them it rules out."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

_MILK, _SIZED, _SYRUP = r"(?:[- ]?milk)?", r"(?:[- ]sized?)?", r"(?: syrup| flavou?r(?:ing|ed)?)?"
_VALUES: Mapping[tuple[str, str], str] = {
    ("drink", "chai"): r"chai(?: tea)?(?: latte)?",
    ("drink", "latte"): r"(?:caff?e )?lattee?",
    ("drink", "mocha"): r"(?:caff?e )?moc?cha|mokk?a",
    ("drink", "cappuccino"): r"capp?ucc?h?ino",
    ("drink", "americano"): r"amerr?icano",
    ("drink", "espresso"): r"e[sx]press?o",
    ("drink", "macchiato"): r"macc?h?iato",
    ("drink", "cortado"): r"cortado",
    ("size", "small"): rf"small{_SIZED}",
    ("size", "medium"): rf"medium{_SIZED}|(?:mid|regular)[- ]sized?",
    ("size", "large"): rf"(?:large|big){_SIZED}",
    ("milk", "whole"): rf"(?:full[- ]?(?:fat|cream)|whole){_MILK}",
    ("milk", "skim"): rf"(?:skim(?:med)?|non[- ]?fat|no[- ]fat|fat[- ]free|skinny){_MILK}",
    ("milk", "oat"): rf"oats?{_MILK}",
    ("milk", "soy"): rf"soya?(?:[- ]?bean)?{_MILK}",
    ("milk", "almond"): rf"almonds?{_MILK}",
    ("syrup", "vanilla"): rf"vanill?a{_SYRUP}",
    ("syrup", "hazelnut"): rf"haz(?:el|le)nuts?{_SYRUP}",
    ("syrup", "caramel"): rf"cara?mel{_SYRUP}",
    ("syrup", "chocolate"): rf"choc(?:olate)?{_SYRUP}",
    ("syrup", "honey"): rf"honey{_SYRUP}",
    ("service", "to go"): (
        r"to[- ]go(?! (?:ahead|through|over|back|wrong|home)\b| with (?:that|it|this|your|the)\b)"
        r"|take[- ]?(?:aways?|out)(?! (?:the|any|some|your|from)\b)|carry[- ]?out|on the go"
        r"|tak(?:e|ing) (?:it |that |this |them )?(?:away|out|along|with (?:me|you|us))"
    ),
    ("service", "here"): (
        r"(?:for|(?:to )?(?:stay|drink|eat|sit|hav|enjoy|sip)\w*(?: it| that| this)?(?: in| right)?|(?<=to go )or) here"
        r"|here (?:or|and)(?= (?:to[- ]go|tak|carry))"
        r"|(?:(?:to )?(?:drink|eat|din|sit|stay)(?:e|ing|ting)?(?: it| that| this)?|hav(?:e|ing) (?:it|that|this)) in"
        r"(?! (?:a|an|the|your|my|mind|stock|touch|line)\b)"
        r"|(?:for|to) stay(?! with)"
        r"|(?:(?<=[,:;(\n])|(?<=[,:;] )|^)[ ]*here(?=[ ]*(?:[.;)\n?!]|$|,? (?:please|thanks|thank you)))"
    ),
}
"""Slot and value to the words for it, in a text as `plain` leaves it."""
_DRINK = "|".join(words for (slot, _), words in _VALUES.items() if slot == "drink")
_FLAVOUR = r"(?:vanilla|hazelnut|caramel|chocolate|honey|almond|oat|coffee)"
_FOOD = (
    r"croissant|cookie|biscuit|cake|muffin|scone|brownie|pastr|bar|ice cream|donut|doughnut|bread|bun|chip|drizzle"
    r"|sauce|powder|shaving|sprinkle|topping|foam|dust|cream|toast"
)
_OTHER_THINGS = (
    r"amount|splash|dash|bit|pump|talk|charge|fee|thing|lot|bunch|order|day|time|roast|heat|fan|deal|smile|team|menu|grain"
    r"|wheat|bean|selection|variety|range|business|group"
)
_DECOYS = (
    rf"{_FLAVOUR}s?(?: \w+)? (?:{_FOOD})\w*",
    r"(?:oat|soya?|almond|whole|skim(?:med)?|full[- ]fat) (?:syrup|flavou?r\w*)",
    r"(?:hot|white|dark) chocolate|(?:chocolate|honey|vanilla|caramel|hazelnut) milk|milk chocolate",
    r"semi[- ]skim\w*(?: milk)?|half[- ]skim\w*|regular milk",
    r"(?:extra|x)[- ](?:large|small)|how (?:big|large|small)",
    rf"(?:small|large|big|medium|whole) (?:{_OTHER_THINGS})s?",
    r"(?:the|on the|as a) whole(?! milk)",
    rf"(?:two|three|four|five|[2-9]) ?(?:x )?(?:\w+ ){{0,3}}?(?:{_DRINK})",
    r"espresso (?:machine|shot|bean|bar)s?|espresso-based|shots? of espresso|latte art",
    r"(?:ready|good|set|going|(?<!let me )have|need|nice|way|able|time|happy|free|about|plan\w*|got|in order) to go",
    r"(?:want\w*|like|love) to go(?! ?(?:[.,!?;]|please|today|$))",
    r"^(?:sure|yes|okay|ok|hi|hello|hey|thanks|of course|alright)(?: thing)?,? honey",
)
"""What looks like a value and names none of those to be had."""
_WORDS = re.compile(
    rf"\b(?:{'|'.join(_DECOYS)})\b|"
    + "|".join(f"(?P<v{place}>(?<!\\w)(?:{words})(?!\\w))" for place, words in enumerate(_VALUES.values())),
    re.MULTILINE,
)
_KEYS = tuple(_VALUES)
_NEGATION = re.compile(
    r"\b(?:not(?! only\b)|no(?! (?:problem|worries|bother|trouble|rush|doubt)\b)|never|without|cannot|instead of|than"
    r"|over|in place of|out of|(?:chang|switch|swap)\w*(?: \w+){0,2} from|\w+n't)\b"
    r"(?: (?:with|for|the|a|an|any|it|to))*"
    r"[^,;:.!?\n()]*?(?= (?:but|so|with|instead|to|for)\b| -+ |[,;:.!?\n()]|$)"
)
"""What rules something out, as far as it reaches."""
_MARKUP = re.compile(r"<tool_call>.*?(?:</tool_call>|$)|\{[^{}]*\}|\b[a-z]+(?:_[a-z]+)+\([^()]*\)", re.DOTALL)
"""Calls that were written as text: nobody is told anything by them."""
_LAYOUT = re.compile(r"[*_~`#>|\"]+")
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": " - ", "\u2014": " - "})


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """A value named in a text, and where; `is_denied` if the text says that it is not wanted."""

    slot: str
    value: str
    start: int
    end: int
    is_denied: bool


def plain(text: str) -> str:
    """The text in lower case, without accents, calls, and marks of layout."""
    parts = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    bare = "".join(char for char in parts if not unicodedata.combining(char)).lower()
    return re.sub(r"[ \t]+", " ", _LAYOUT.sub(" ", _MARKUP.sub(" ", bare))).strip()


def blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text, of its own length, with these spans as if they were one word."""
    characters = list(text)
    for start, end in spans:
        characters[start:end] = "\0" * (end - start)
    return "".join(characters)


@lru_cache(maxsize=1024)
def mentions(text: str) -> tuple[Mention, ...]:
    """The values that a text as `plain` leaves it names, in its order."""
    found = [match for match in _WORDS.finditer(text) if match.lastgroup]
    denied = [span.span() for span in _NEGATION.finditer(blanked(text, (match.span() for match in found)))]
    named = []
    for match in found:
        slot, value = _KEYS[int((match.lastgroup or "v0")[1:])]
        start, end = match.span()
        before = bisect_left(denied, (start,)) - 1  # the last that begins before it
        is_denied = before >= 0 and start < denied[before][1]
        named.append(Mention(slot=slot, value=value, start=start, end=end, is_denied=is_denied))
    return tuple(named)
