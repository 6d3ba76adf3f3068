"""What assistants say at the desk: orders and questions, as they are written and as they are understood.

The reader goes by meaning, not by grammar. What it makes of a reply that could be taken in two ways:

- A whole order put as a question ("so a large oat latte with honey, to go?") is an order put up for confirmation.
- A question about a slot outweighs an order in the same reply: the order waits for the answer. Offers of something
  else or more ("anything else?", "a different size?") are no such questions.
- A yes/no question about a value ("would you like oat milk?") is a question about its slot.
- A value said twice in one breath is the mark of a reply that has lost its way, and no part of an order.
- What is said to be on offer, ruled out, or put into the customer's mouth ("I'd like ...") is not part of an order,
  and two values for one slot are none.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from collab_order_desk.lexicon import Mention, blanked, mentions, plain
from collab_order_desk.world import NAMES, SLOTS, Order
from collab_sdk.messages import Message

_SENTENCE = re.compile(r"[^.!?;\n]*(?:[.!?;](?=\w)[^.!?;\n]*)*[.!?;\n]*")
_OTHERS = re.compile(
    r"^[ \t*_>#-]*(?:customer|user|guest|visitor|you|human|me)[ \t*_]*:.*$", re.MULTILINE | re.IGNORECASE
)
_CUE = re.compile(
    r"\b(?:what|which|how|where|would|do|did|does|is|are|will|can|could|may|should|shall|any|and|or|prefer)\b"
)
_INDIRECT = re.compile(
    r"\b(?:(?:tell|let) (?:me|us)|specify|choose|pick(?! up)|(?:need|like|want) to know"
    r"|i(?:'ll)? (?:just |still |also )*need|not sure (?:which|what|if|whether)|(?:don't|do not) know"
    r"|you (?:didn't|did not|haven't|forgot)|(?:didn't|did not) (?:catch|get|hear)|may i ask|i was wondering)\b"
    r"|^\s*(?:(?:and|so|okay|ok|sure|also|great),? )*(?:what(?:'s| is)?|which|how (?:big|large)) "
)
_COURTESY = re.compile(
    r"\b(?:anything|something|different|changed?|changes|else|another|other|more|extra|instead)\b"
    r"|\blet me know (?:if|when|should)\b|\b(?:correct|right|okay|ok|good)\s*\?"
)
_OFFER = re.compile(
    r"\b(?:we (?:also )?(?:have|offer|serve|carry|can|could)|if you|you (?:can|could|might|may)|perhaps|maybe|might"
    r"|options?|available|for example|such as|recommend|suggest|popular|menu|usually)\b"
)
_ECHO = re.compile(
    r"\b(?:can|could|may) i (?:please )?(?:get|have|grab)(?! you)|\bi (?:just )?(?:want|need) (?:a|an|one)\b"
    r"|\bi'll (?:have|take)(?! (?:that|your|it|this|you))"
    r"|\bi(?:'d| would) (?:like|love)(?! to (?:offer|recommend|suggest|make|get|confirm|know))"
    r"|\b(?:can|could|would) you (?:please )?(?:provide|make|give|get|bring)|\bplease\s*[.!]*\s*$"
)
"""Customers' words, not a barista's."""
_WHICH = re.compile(r"\b(?:which|what|your (?:choice|preference)|prefer)\b")
_NOUNS = {
    "size": re.compile(r"\bsizes?\b|\bhow (?:big|large|small)\b"),
    "milk": re.compile(r"\bmilks?\b"),
    "syrup": re.compile(r"\b(?:syrups?|flavou?r(?:ing)?s?)\b"),
    "drink": re.compile(
        r"\b(?:what|which)(?: (?:kind|type|sort) of)? (?:drink|coffee|beverage)\b"
        r"|\bto drink(?! (?:it|that|this|in|here)\b)"
        r"|(?:^|, ?|\band |\bor |\bthe )(?:drink|coffee|beverage)\b(?= ?(?:[,?.:]|and\b|or\b|$))"
    ),
    "service": re.compile(r"\bwhere (?:would|will|do|are) you\b"),
}
"""How a question names a slot, besides naming its values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What an assistant's message amounts to: an order, or a question about slots; neither if it is malformed."""

    order: Order | None = None
    asked: frozenset[str] = frozenset()

    @property
    def is_malformed(self) -> bool:
        return self.order is None and not self.asked


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clause:
    """A sentence, and the values that it names."""

    text: str
    named: Sequence[Mention]

    @property
    def is_question(self) -> bool:
        return self.text.rstrip().endswith("?")

    @property
    def values(self) -> frozenset[tuple[str, str]]:
        return frozenset((mention.slot, mention.value) for mention in self.named)

    @property
    def told(self) -> frozenset[tuple[str, str]]:
        """The values that the barista says of the order."""
        if _ECHO.search(self.text):
            return frozenset()
        breaths = [match.start() for match in re.finditer(":", self.text)]
        said = Counter((each.slot, each.value, bisect_left(breaths, each.start)) for each in self.named)
        return frozenset((slot, value) for (slot, value, _), times in said.items() if times == 1)

    @property
    def asked(self) -> set[str]:
        """The slots that it asks about by their names or by their values to choose from."""
        asks = self.is_question or (_INDIRECT.search(self.text) and not _complete(self.values))
        if not asks or _COURTESY.search(self.text):
            return set()
        text = blanked(self.text, ((mention.start, mention.end) for mention in self.named))
        cue = _CUE.search(text)
        begins = cue.start() if cue and "\0" in text[: cue.start()] else 0  # before it something is repeated
        return _several(self.values) | {slot for slot, noun in _NOUNS.items() if noun.search(text, begins)}


@lru_cache(maxsize=1024)
def read_reply(text: str) -> Reply:
    """The meaning of a reply, by the rules at the top of this module."""
    clauses = _clauses(plain(_OTHERS.sub("", text)))
    asked, before = set[str](), set[tuple[str, str]]()
    for clause in clauses:
        asked |= clause.asked
        if clause.is_question and not clause.named and not clause.asked and _WHICH.search(clause.text):
            asked |= _several(before)
        before |= clause.values
    if asked:
        return Reply(asked=frozenset(asked))
    questions = [clause.told for clause in clauses if clause.is_question]
    order = _order_of(clause for clause in clauses if not clause.is_question)
    order = order or next(filter(None, map(_complete, questions)), None)
    open_ = {slot for values in questions for slot, value in values if order is None or order[slot] != value}
    return Reply(asked=frozenset(open_)) if open_ else Reply(order=order)


def _clauses(text: str) -> list[_Clause]:
    found = [mention for mention in mentions(text) if not mention.is_denied]
    places = [mention.start for mention in found]
    clauses = []
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        named = found[bisect_left(places, start) : bisect_left(places, end)]
        here = [replace(each, start=each.start - start, end=each.end - start) for each in named]
        if match.group().strip():
            clauses.append(_Clause(text=match.group(), named=here))
    return clauses


def _order_of(clauses: Iterable[_Clause]) -> Order | None:
    told = list(clauses)
    firm = frozenset(value for clause in told if not _OFFER.search(clause.text) for value in clause.told)
    offered = [clause.told for clause in told if firm <= clause.told]  # "if you like, I'll make you ..."
    return next(filter(None, map(_complete, [firm, *offered])), None)


def _several(values: Iterable[tuple[str, str]]) -> set[str]:
    """The slots that have several values."""
    return {slot for slot, times in Counter(slot for slot, _ in set(values)).items() if times > 1}


def _complete(values: Collection[tuple[str, str]]) -> Order | None:
    order = dict(values)
    return {name: order[name] for name in NAMES} if len(values) == len(order) == len(NAMES) else None


def write_order(order: Order) -> str:
    """`okay , one large latte with oat milk and honey syrup , to go .`"""
    service = "for here" if order["service"] == "here" else "to go"
    what = f"one {order['size']} {order['drink']} with {order['milk']} milk and {order['syrup']} syrup"
    return f"okay , {what} , {service} ."


def write_question(slots: Collection[str]) -> str:
    """`what size , milk , here or to go ?`"""
    asked = listed(slot.asked for slot in SLOTS if slot.name in slots)
    return f"{asked} ?" if set(slots) == {"service"} else f"what {asked} ?"


def listed(parts: Iterable[str]) -> str:
    return " , ".join(parts)


def last_order(messages: Iterable[Message]) -> Order | None:
    """What the assistant delivered in the end."""
    replies = [read_reply(message.content) for message in messages if message.role == "assistant"]
    return next((reply.order for reply in reversed(replies) if reply.order is not None), None)
