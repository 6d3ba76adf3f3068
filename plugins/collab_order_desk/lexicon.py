"""The words for what can be ordered: which values a text names, and which of them it rules out."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

_LIQUID = r"(?:[- ]?milk)?"
_VALUES: Mapping[tuple[str, str], str] = {
    ("drink", "chai"): r"chai(?: tea)?(?: latte)?",
    ("drink", "latte"): r"(?:caffe |cafe )?latt?ee?",
    ("drink", "mocha"): r"(?:caffe |cafe )?moch?cha|(?:caffe |cafe )?mocha|moka",
    ("drink", "cappuccino"): r"cap{1,2}uc{1,2}h?ino",
    ("drink", "americano"): r"amer+icano",
    ("drink", "espresso"): r"e[sx]pres{1,2}o",
    ("drink", "macchiato"): r"mac{1,2}h?iato",
    ("drink", "cortado"): r"cortado",
    ("size", "small"): r"small(?:-sized?)?",
    ("size", "medium"): r"(?:medium|mid)(?:-| )sized?|medium|regular(?:-| )sized?",
    ("size", "large"): r"(?:large|big)(?:-| )sized?|large|big",
    ("milk", "whole"): rf"full[- ]?(?:fat|cream){_LIQUID}|whole{_LIQUID}",
    ("milk", "skim"): rf"(?:skim(?:med)?|non[- ]?fat|no[- ]fat|fat[- ]free|skinny){_LIQUID}",
    ("milk", "oat"): rf"oats?{_LIQUID}",
    ("milk", "soy"): rf"soya?(?:[- ]?bean)?{_LIQUID}",
    ("milk", "almond"): rf"almonds?{_LIQUID}",
    ("syrup", "vanilla"): r"vanill?a",
    ("syrup", "hazelnut"): r"haz(?:el|le)nuts?",
    ("syrup", "caramel"): r"car(?:a)?mel",
    ("syrup", "chocolate"): r"choc(?:olate)?",
    ("syrup", "honey"): r"honey",
    ("service", "to go"): (
        r"to[- ]go(?! (?:ahead|through|over|back|wrong|home|with (?:that|it|this|your|the)\b))|take[- ]?aways?|take[- ]?out(?! (?:the|any|your|some)\b)"
        r"|carry[- ]?out|on the go|tak(?:e|ing) (?:it |that |this |them )?(?:away|out|along|with (?:me|you|us))"
    ),
    ("service", "here"): (
        r"(?:for|(?:to )?(?:stay|drink|eat|sit|hav|enjoy|sip)\w*(?: (?:it|that|this))?(?: in| right)?|(?<=to go )or) here"
        r"|here (?:or|and)(?= (?:to[- ]go|take|carry))"
        r"|(?:to )?(?:drink|eat|dine|sit|hav|enjoy)\w* (?:it |that |this )?in(?! (?:a|an|the|your|my)\b)"
        r"|(?:for|to) stay(?! with)|(?:for|is|be) in(?=[ ]?[.,?!;]|$)|stay(?:ing)? in"
        r"|(?:(?<=[,:;(\"\n])|(?<=[,:;] )|^)[ ]*here(?=[ ]*(?:[.;)\"\n?!]|$|,? (?:please|thanks|thank you)))"
    ),
}
"""Slot and value to the words for it, in a text as `plain` leaves it."""
_FLAVOUR = r"(?:vanilla|hazelnut|caramel|chocolate|honey|almond|oat|coffee)"
_DECOYS = (
    rf"{_FLAVOUR}s?(?: \w+)? (?:croissant|cookie|biscuit|cake|muffin|scone|brownie|pastr|bar|ice cream|donut|doughnut|bread|bun|chip)\w*",
    rf"{_FLAVOUR} (?:drizzle|sauce|powder|shavings|sprinkles|toppings?|foam|dust\w*|cream|chip\w*)",
    r"(?:oat|soya?|almond|whole|skim(?:med)?|full[- ]fat) (?:syrup|flavou?r\w*)",
    r"(?:hot|white|dark) chocolate|chocolate milk",
    r"semi[- ]skim\w*(?: milk)?|half[- ]skim\w*|regular milk",
    r"(?:extra|x)[- ](?:large|small)",
    r"how (?:big|large|small)",
    r"(?:small|large|big|medium|whole) (?:amount|splash|dash|bit|pump|talk|charge|fee|thing|lot|bunch|order|day|time|roast|heat|fan|deal|smile|team|menu|grain|wheat|bean|selection|variety|range)s?",
    r"(?:the|on the|as a) whole(?! milk)",
    r"espresso (?:machine|shot|bean|bar)s?|espresso-based|shots? of espresso|latte art",
    r"(?:ready|good|set|going|(?<!let me )have|need|nice|way|able|time|happy|free|about|plan\w*|got|in order) to go",
    r"(?:want\w*|like|love) to go(?! ?(?:[.,!?;]|please|today|$))",
    r"^(?:sure|yes|okay|ok|hi|hello|hey|thanks|of course|alright)(?: thing)?,? honey",
)
"""What looks like a value and names none of those to be had."""
_WORDS = re.compile(
    rf"\b(?:{'|'.join(_DECOYS)})\b|"
    + "|".join(f"(?P<v{i}>(?<!\\w)(?:{words})(?!\\w))" for i, words in enumerate(_VALUES.values())),
    re.MULTILINE,
)
_KEYS = tuple(_VALUES)
_NEGATION = re.compile(
    r"(?:\b(?:not(?! only\b)|no(?! (?:problem|worries|bother|trouble|rush|doubt)\b)|never|without|cannot|instead of|than|over"
    r"|in place of|out of|(?:chang|switch|swap)\w*(?: \w+){0,2} from)\b|\w+n't\b)"
    r"(?: (?:with|for|the|a|an|any|it|to))*"
    r"[^,;:.!?\n()]*?(?= (?:but|so|with|instead|to|for)\b| -+ |[,;:.!?\n()]|$)"
)
_MARKS = re.compile(r"[*_~`#>|\"]+")
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": " - ", "\u2014": " - "})


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """A value named in a text, and where; `is_denied` if the text says that it is not wanted."""

    slot: str
    value: str
    start: int
    end: int
    is_denied: bool


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """The text in lower case, without accents and marks of layout."""
    parts = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    bare = "".join(char for char in parts if not unicodedata.combining(char)).lower()
    return re.sub(r"[ \t]+", " ", _MARKS.sub(" ", bare)).strip()


def blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text, of its own length, with these spans as if they were one word."""
    characters = list(text)
    for start, end in spans:
        characters[start:end] = "\0" * (end - start)
    return "".join(characters)


def mentions(text: str) -> list[Mention]:
    """The values that a text as `plain` leaves it names, in its order."""
    found = [match for match in _WORDS.finditer(text) if match.lastgroup]
    denied = [span.span() for span in _NEGATION.finditer(blanked(text, (match.span() for match in found)))]
    return [
        Mention(
            slot=slot,
            value=value,
            start=match.start(),
            end=match.end(),
            is_denied=any(start < match.start() < end for start, end in denied),
        )
        for match in found
        for slot, value in [_KEYS[int((match.lastgroup or "v0")[1:])]]
    ]
