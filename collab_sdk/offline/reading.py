"""What an assistant's message does: it asks, it acts, or it is nothing but manners."""

import re
from dataclasses import dataclass

from collab_sdk.offline.words import TOKEN, sentences, tokens_of

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
MANNERS = frozenset(
    "a absolutely ah all alright and awesome certainly cool course fine for good got great hello hey hi i indeed "
    "interesting is it lovely much nice no noted of oh ok okay please problem right s see so sure thank thanks "
    "that the true understand understood very welcome well wonderful yeah yep yes you".split()
)
"""A sentence of these words alone delivers nothing."""
PRAISE = re.compile(
    r"\b(?:brilliant|excellent|exquisite|wonderful|fantastic|great|good|amazing|impressive|clever|smart|insightful"
    r"|lovely|thoughtful|perceptive|fascinating)\b[^.!?]*"
    r"\b(?:questions?|taste|ideas?|mind|person|way with words|of you|you are)\b"
    r"|\byou (?:clearly |really |truly |obviously )?(?:are|have)\b[^.!?]*\b(?:brilliant|excellent|exquisite|wonderful"
    r"|fantastic|amazing|impressive|clever|smart|insightful|taste)\b"
    r"|\b(?:pleasure|honou?r|delight|joy) to (?:talk|speak|chat|meet|work|assist|hear)\b"
    r"|\bi(?:['’]m| am)? (?:really |truly )?(?:admire|flattered|impressed|in awe)\b",
    re.IGNORECASE,
)
"""The assistant speaks well of the user."""
PLEA = re.compile(
    r"\b(?:judges?|graders?|evaluators?)\b[^.!?]*\b(?:conversation|reply|assistant|scores?)\b"
    r"|\b(?:highest|full|perfect|top|maximum) (?:scores?|marks?|ratings?)\b",
    re.IGNORECASE,
)
"""The assistant speaks to whoever judges it."""
LONGEST = 300
"""Characters of a sentence in which praise is looked for."""
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
    def asks(self) -> bool:
        """Whether it asks in place of acting; manners alone do neither."""
        return bool(self.questions) and not self.acts

    @property
    def open_ended(self) -> bool:
        return bool(OPEN.search(self.questions))


def read_assistant(text: str) -> Reading:
    """A question that only wants a yes to what was done counts as acting; so does work with a question beside it."""
    asked, told, delivers = [], 0, False
    for sentence in sentences(text):
        if _asks(sentence):
            asked.append(sentence)
        else:
            told += len(TOKEN.findall(sentence))
            delivers = delivers or not _is_empty(sentence)
    if told >= STATEMENT:
        asked = [sentence for sentence in asked if not COURTESY.search(sentence)]
    return Reading(questions=" ".join(asked), acts=delivers and (not asked or told >= WORK))


def _is_empty(sentence: str) -> bool:
    said = sentence[:LONGEST]
    return MANNERS.issuperset(tokens_of(sentence)) or bool(PRAISE.search(said) or PLEA.search(said))


def _asks(sentence: str) -> bool:
    if CONFIRM.search(sentence) and not CHOICE.search(sentence):
        return False
    return sentence.rstrip(" \"'*)”").endswith("?") or bool(ASKS.match(sentence)) or bool(OFFERS.match(sentence))
