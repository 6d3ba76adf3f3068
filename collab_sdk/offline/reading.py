"""What an assistant's message does: it asks, or it acts."""

import re
from dataclasses import dataclass

from collab_sdk.offline.words import TOKEN, sentences

CONFIRM = re.compile(
    r"\b(?:correct(?:ly)?|(?:re-?)?confirm|verify|double[- ]check|make sure|looks? (?:good|ok|okay|right|fine|alright)"
    r"|(?:is|are|was) (?:this|that|it|everything|we|these) (?:all )?(?:right|ok|okay|good|fine|it|all)\b|happy with"
    r"|what you (?:want|wanted|ordered|had in mind)|the way you (?:want|like)|how about now|is this it|all set"
    r"|sounds? (?:good|right|ok|okay)|ready (?:to|for) (?:send|place|order)|work for you|displayed)",
    re.IGNORECASE,
)
CHOICE = re.compile(r"\b(?:or|whether|which|how (?:many|long|much))\b", re.IGNORECASE)
ASKS = re.compile(
    r"(?:please )?(?:tell me|share|specify|describe"
    r"|let me know (?:what(?! you think)|which|how|who|when|where|whether|your|the))\b",
    re.IGNORECASE,
)
OFFERS = re.compile(
    r"(?:we|i) (?:have|offer|carry|can do)\b(?! (?:your|you|received|the|a|an|that)\b)"
    r"|(?:the |your )?options (?:are|include)\b|you can (?:choose|pick)\b|choose (?:from|between)\b",
    re.IGNORECASE,
)
COURTESY = re.compile(r"anything else|can i help|any (?:other )?questions|need anything", re.IGNORECASE)
OPEN = re.compile(
    r"\b(?:any|some)(?:thing)? (?:else|specific|special|particular|other|in particular)\b|\bspecific(?:ally|s)?\b"
    r"|\b(?:details?|preferences?|requirements?|constraints?)\b"
    r"|\bwhat (?:else|more|exactly)\b|\btell me (?:about|what|more)\b",
    re.IGNORECASE,
)

STATEMENT = 4
"""Words told that make a closing "Anything else?" a courtesy."""
WORK = 25
"""Words told that are work delivered, whatever is asked beside them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """`questions` holds what is really asked, confirmations and courtesies left out; empty if nothing is."""

    questions: str
    acts: bool

    @property
    def open_ended(self) -> bool:
        return bool(OPEN.search(self.questions))


def read_assistant(text: str) -> Reading:
    """A question that only wants a yes to what was done counts as acting; so does work with a question beside it."""
    asked, told = [], 0
    for sentence in sentences(text):
        if _asks(sentence):
            asked.append(sentence)
        else:
            told += len(TOKEN.findall(sentence))
    if told >= STATEMENT:
        asked = [sentence for sentence in asked if not COURTESY.search(sentence)]
    return Reading(questions=" ".join(asked), acts=not asked or told >= WORK)


def _asks(sentence: str) -> bool:
    if CONFIRM.search(sentence) and not CHOICE.search(sentence):
        return False
    return sentence.rstrip(" \"'*)”").endswith("?") or bool(ASKS.match(sentence)) or bool(OFFERS.match(sentence))
