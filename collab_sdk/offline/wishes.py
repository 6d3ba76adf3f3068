"""What a user's message asks for, stripped of politeness."""

import re

from collab_sdk.offline.words import sentences, tokens_of

SMALL_TALK = frozenset(
    "a absolutely again ahead all alright am any anything are as at awesome be better bye cheers choose confirm cool "
    "correct correctly definitely display displayed do does doesn doesnt don done either else everything exactly fine "
    "for go going good goodbye got great have hello hey hi i in is isn it its just like look looked looking looks "
    "matter matters me much my need nice no nope not nothing now of ok okay on one order perfect please preference "
    "really right s said screen see sending sounds special sure t thank thanks that the then there think this too "
    "very want was way we whatever wonderful work works yea yeah yep yes you your yup".split()
)
"""A sentence of these words alone wishes for nothing: a yes, a no, a thanks, a greeting."""

OPENERS = re.compile(
    "(?:"
    + "|".join(
        (
            r"(?:hi|hello|hey|hiya)(?: there)?|good (?:morning|afternoon|evening)|what's up|um+|uh|oh|oops|sorry|well",
            r"so|and|also|but|or|then|actually|just|maybe|please|pls|thanks|thank you",
            r"yes|yeah|yep|yup|nope|no(?=[,.!;])|sure|ok|okay|great",
            r"not quite|that's not (?:it|right)|you left something out|(?:way |much |far )?too \w+(?=[,.;!]|$)",
            r"[^,.;]{0,40}\b(?:incorrect|wrong|not (?:right|correct))(?=[,.;])|like i said|as i said|i said",
            r"(?:can|could|may|might) (?:i|we)(?: please| also)? (?:get|have|order|do|add)",
            r"(?:can|could|would|will) you(?: please)?|how about|what about|how (?:do|can|would|should) (?:i|we|you)",
            r"what (?:can|could|should) (?:i|we)(?: cook| make| get| buy)?(?: for)?|let me (?:get|have)",
            r"i(?: would|'d|’d)(?: really| also)? (?:like|love|prefer)(?: to (?:have|get|order|add|make it))?",
            r"i(?:['’]?ll| will) (?:have|take|get|do)|i(?:'m| am) looking for|i would to order",
            r"(?:i|we)(?: still)? (?:want|wanted|need|needed|meant)"
            r"(?: to (?:order|get|have|write|plan|book|make|find|buy)| it| that)?",
            r"make (?:it|that|mine|them|me|us)|it(?:'s| is| should be| has to be| must be)|that(?:'s| is| should be)",
            r"order|add|(?:give|get|find|help) (?:me|us)(?: to| with)?|(?:write|draft|plan|book|suggest)(?: me| us)?",
        )
    )
    + r")\b[\s,.!;-]*",
    re.IGNORECASE,
)
CLOSERS = re.compile(
    r"(?:[\s,.!?;]|\b(?:please|pls|thanks|thank you|as i said|if you can|for (?:me|us)"
    r"|(?:to|with|on|in) (?:that|it)))+$",
    re.IGNORECASE,
)
QUESTION = re.compile(
    r"(?:what|which|how|why|when|where|who|is|are|do|does|did|can|could|should|will|have|has|tell me)\b", re.IGNORECASE
)
LONGEST = 300
"""Characters. Nobody restates more than that."""
MOST = 8


def wishes(text: str) -> list[str]:
    """The requests, facts and corrections in a message; nothing for a yes, a thanks or a real question."""
    found = (wish for sentence in sentences(text) if (wish := _wish(sentence)))
    return [wish for wish, _ in zip(found, range(MOST), strict=False)]


def is_question(text: str) -> bool:
    """Whether a message ends on a real question, not on a request that is worded as one."""
    last = (sentences(text) or [""])[-1]
    return last.endswith("?") and bool(QUESTION.match(_without_opener(last[:LONGEST])))


def _wish(sentence: str) -> str:
    wish = CLOSERS.sub("", _without_opener(" ".join(sentence[:LONGEST].split())))
    if SMALL_TALK.issuperset(tokens_of(wish)):
        return ""
    return "" if sentence.endswith("?") and QUESTION.match(wish) else wish


def _without_opener(text: str) -> str:
    while match := OPENERS.match(text):
        text = text[match.end() :]
    return text
