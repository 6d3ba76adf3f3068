"""What assistants say at the desk: orders and questions, as they are written and as they are understood.

The reader goes by meaning, not by grammar. What it makes of a reply that could be taken in two ways:

- A whole order put as a question ("so a large oat latte with honey, to go?") is an order put up for confirmation.
- A question about a slot outweighs an order in the same reply: the order waits for the answer. Offers of something
  else or more ("anything else?", "a different size?") are no such questions.
- A yes/no question about a value ("would you like oat milk?") is a question about its slot.
- What is said to be on offer, ruled out, or put into the customer's mouth ("I'd like ...") is not part of an order,
  and two values for one slot are none.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from collab_order_desk.lexicon import Mention, blanked, mentions, plain
from collab_order_desk.world import NAMES, SLOTS, Order
from collab_sdk.messages import Message

_SENTENCE = re.compile(r"[^.!?;\n]*(?:[.!?;](?=\w)[^.!?;\n]*)*[.!?;\n]*")
_OTHERS = re.compile(r"^\s*(?:customer|user|guest|visitor|you|human|me)\s*:.*$", re.MULTILINE)
_CUE = re.compile(
    r"\b(?:what|which|how|where|would|do|did|does|is|are|will|can|could|may|should|shall|any|and|or|prefer)\b"
)
_INDIRECT = re.compile(
    r"\b(?:(?:tell|let) (?:me|us)|specify|choose|pick|(?:need|like|want) to know|i(?:'ll)? (?:just |still |also )*need"
    r"|not sure (?:which|what|if|whether)|(?:don't|do not) know|you (?:didn't|did not|haven't|forgot)"
    r"|(?:didn't|did not) (?:catch|get|hear)|may i ask|i was wondering)\b"
    r"|^(?:and |so |okay,? |ok,? |sure,? |also,? |great,? )*(?:what|which|how (?:big|large)) "
)
_COURTESY = re.compile(
    r"\b(?:anything|something|different|changed?|changes|else|another|other|more|extra|instead|correct|right|okay|ok)\b"
    r"|\blet me know (?:if|when|should)\b"
)
_OFFER = re.compile(
    r"\b(?:we (?:also )?(?:have|offer|serve|carry|can|could)|if you|you (?:can|could|might|may)|perhaps|maybe|might"
    r"|options?|available|for example|such as|recommend|suggest|popular|menu|usually)\b"
)
_ECHO = re.compile(
    r"\b(?:(?:can|could|may) i (?:please )?(?:get|have|grab)(?! you)|i want\b"
    r"|i'll (?:have|take)(?! (?:that|your|it|this|you))"
    r"|i(?:'d| would) (?:like|love)(?! to (?:offer|recommend|suggest|make|get|confirm)))"
)
_WHICH = re.compile(r"\b(?:which|what|your (?:choice|preference)|prefer)\b")
_NOUNS = {
    "size": re.compile(r"\bsizes?\b|\bhow (?:big|large|small)\b"),
    "milk": re.compile(r"\bmilks?\b"),
    "syrup": re.compile(r"\b(?:syrups?|flavou?r(?:ing)?s?)\b"),
    "drink": re.compile(
        r"\b(?:what|which)(?: (?:kind|type|sort) of)? (?:drink|coffee|beverage)\b"
        r"|\blike to drink(?! (?:it|that|this|in|here)\b)"
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
    def alternatives(self) -> set[str]:
        """The slots of which it names several values."""
        slots = [slot for slot, _ in self.values]
        return {slot for slot in slots if slots.count(slot) > 1}

    @property
    def asked(self) -> set[str]:
        """The slots that it asks about by their names or by their values to choose from."""
        if not (self.is_question or _INDIRECT.search(self.text)) or _COURTESY.search(self.text):
            return set()
        text = blanked(self.text, ((mention.start, mention.end) for mention in self.named))
        cue = _CUE.search(text)
        begins = cue.start() if cue else 0
        return self.alternatives | {slot for slot, noun in _NOUNS.items() if noun.search(text, begins)}


@lru_cache(maxsize=4096)
def read_reply(text: str) -> Reply:
    """The meaning of a reply, by the rules at the top of this module."""
    clauses = _clauses(plain(_OTHERS.sub("", text)))
    stated = _order_of(c for c in clauses if not c.is_question)
    asked = set[str]()
    for place, clause in enumerate(clauses):
        asked |= clause.asked
        if clause.is_question and not clause.asked and not clause.named and _WHICH.search(clause.text) and place:
            asked |= {slot for before in clauses[:place] for slot in before.alternatives}
    if asked:
        return Reply(asked=frozenset(asked))
    questions = [clause for clause in clauses if clause.is_question and clause.named]
    put = next((order for clause in questions if (order := _complete(clause.values))), None)
    order = stated or put
    open_ = {slot for clause in questions for slot, value in clause.values if order is None or order[slot] != value}
    if open_:
        return Reply(asked=frozenset(open_))
    return Reply(order=order)


def _clauses(text: str) -> list[_Clause]:
    found = mentions(text)
    clauses = []
    for match in _SENTENCE.finditer(text):
        named = [
            Mention(
                slot=each.slot,
                value=each.value,
                start=each.start - match.start(),
                end=each.end - match.start(),
                is_denied=False,
            )
            for each in found
            if match.start() <= each.start < match.end() and not each.is_denied
        ]
        if match.group().strip():
            clauses.append(_Clause(text=match.group(), named=named))
    return clauses


def _order_of(clauses: Iterable[_Clause]) -> Order | None:
    told = [clause for clause in clauses if not _ECHO.search(clause.text)]
    firm = {value for clause in told if not _OFFER.search(clause.text) for value in clause.values}
    offered = [clause.values for clause in told if firm <= clause.values]  # "if you like, I make you ..."
    return next(filter(None, map(_complete, [firm, *offered])), None)


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
