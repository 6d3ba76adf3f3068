"""Reading text word by word: what it says, its sentences, and what a user asks for in it."""

import re
from itertools import accumulate

TOKEN = re.compile(r"\d+(?:[.,]\d+)*%?|[^\W_]+")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
IDIOMS = re.compile(
    r"\bhere(?:'s|’s)|\bhere (?:you (?:go|are)|is|are|it)\b|\b(?:over|right|correct|ready|displayed) here\b|\bhere (?:on|in|at)\b"
    r"|\b(?:ready|good|set|way) to go\b"
)
"""Phrases whose `here` and `to go` say nothing about where a coffee is drunk."""
ALIASES = {"decaffeinated": "decaf", "takeaway": "togo", "takeout": "togo", "sweetner": "sweetener"}

NOT_WISHES = frozenset(
    "a absolutely again ahead all alright am any anything are as at awesome be bye cheers choose confirm cool correct "
    "correctly definitely display displayed do does doesn doesnt don done either else everything exactly fine for go "
    "going good goodbye got great have hello hey hi i in is isn it its just like look looked looking looks matter matters "
    "me much my need no nope not nothing now of ok okay on one order perfect please preference really right s said screen "
    "see sounds special sure t thank thanks that the then there think this too very want was way we whatever wonderful "
    "work works yea yeah yep yes you your yup".split()
)
"""A message of these words alone asks for nothing: a yes, a no, a thanks, a greeting."""

OPENERS = re.compile(
    r"(?:(?:hi|hello|hey|hiya)(?: there)?|good (?:morning|afternoon|evening)|what's up|um+|uh|well|so|and|also|but|or|oh"
    r"|yes|yeah|yep|yup|no(?=[,.!;])|nope|sure|ok|okay|great|thanks|thank you|sorry|actually|then|oops|please|pls|just"
    r"|maybe|not quite|like i said|as i said|you left something out|that's not (?:it|right)"
    r"|[^,.;]{0,40}\b(?:incorrect|wrong|not (?:right|correct))(?=[,.;])"
    r"|(?:can|could|may|might) (?:i|we)(?: please| also)? (?:get|have|order|do|add)"
    r"|(?:can|could|would|will) you(?: please)?"
    r"|i(?: would|'d|’d)(?: really| also)? (?:like|love|prefer)(?: to (?:have|get|order|add|make it))?|i would to order"
    r"|i(?:['’]?ll| will) (?:have|take|get|do)|i(?:'m| am) looking for|i said|let me (?:get|have)"
    r"|(?:i|we)(?: still)? (?:want|wanted|need|needed|meant)(?: to (?:order|get|have|write|plan|book|make|find|buy))?"
    r"|how about|what about|make (?:it|that|mine|them|me|us)|it(?:'s| is| should be| has to be| must be)"
    r"|that(?:'s| is| should be)|order|add|give (?:me|us)|get (?:me|us)|help (?:me|us)(?: to| with)?"
    r"|write(?: me| us)?|draft(?: me)?|plan(?: me| us)?|book(?: me| us)?|find (?:me|us)|suggest(?: me)?)"
    r"\b[\s,.!;-]*",
    re.IGNORECASE,
)
CLOSERS = re.compile(
    r"(?:[\s,.!?;]|\b(?:please|pls|thanks|thank you|as i said|(?:to|with|on|in) (?:that|it)|if you can))+$",
    re.IGNORECASE,
)
QUESTION = re.compile(
    r"(?:what|which|how|why|when|where|who|is|are|do|does|did|can|could|should|will|have|has|tell me)\b", re.IGNORECASE
)
LONGEST_WISH = 300
"""Characters. Nobody restates more than that."""
WISHES_A_MESSAGE = 8


class Words:
    """The words of a text, and a search that ignores case, spaces and punctuation: "Non-Fat" is said by "nonfat"."""

    __slots__ = ("_edges", "_joined", "tokens")

    def __init__(self, text: str) -> None:
        self.tokens = tokens_of(text)
        self._joined = "".join(self.tokens)
        self._edges = {0, *accumulate(map(len, self.tokens))}

    def say(self, squashed: str) -> bool:
        """Whether a run of whole words, put together, reads `squashed` or its plural."""
        start = self._joined.find(squashed)
        while start >= 0:
            end = start + len(squashed)
            if start in self._edges and (end in self._edges or (end + 1 in self._edges and self._joined[end] == "s")):
                return True
            start = self._joined.find(squashed, start + 1)
        return False


def tokens_of(text: str) -> list[str]:
    # As one word, "to go" can be told from a "to" and a "go" that stand together by chance.
    words = TOKEN.findall(IDIOMS.sub(" ", text.lower()).replace("to go", "togo"))
    return [ALIASES.get(word, word) for word in words]


def squash(text: str) -> str:
    return "".join(tokens_of(text))


def sentences(text: str) -> list[str]:
    return [sentence for sentence in SENTENCE_END.split(text.strip()) if sentence]


def wishes(text: str) -> list[str]:
    """What a user's message asks for or states, stripped of politeness; nothing for a yes, a thanks or a question."""
    found = (wish for sentence in sentences(text) if (wish := _wish(sentence)))
    return [wish for wish, _ in zip(found, range(WISHES_A_MESSAGE), strict=False)]


def is_question(text: str) -> bool:
    """Whether a user's message ends on a real question, not on a request that is worded as one."""
    last = (sentences(text) or [""])[-1]
    return last.rstrip().endswith("?") and bool(QUESTION.match(_strip_openers(last)))


def _wish(sentence: str) -> str:
    wish = CLOSERS.sub("", _strip_openers(" ".join(sentence[:LONGEST_WISH].split())))
    if all(token in NOT_WISHES for token in tokens_of(wish)):
        return ""
    return "" if sentence.endswith("?") and QUESTION.match(wish) else wish


def _strip_openers(text: str) -> str:
    while match := OPENERS.match(text):
        text = text[match.end() :]
    return text
