"""The user at the desk: says what is asked for, corrects one thing at a time, and leaves when it drags on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from collab_order_desk.phrasings import (
    FAREWELLS,
    PHRASINGS,
    REMINDERS,
    THANKS,
    VAGUE,
    WHAT,
    Phrasings,
    spoken,
)
from collab_order_desk.speech import Reply, read_reply
from collab_order_desk.world import NAMES, SLOT_OF, Order, named_in
from collab_sdk.messages import Message

PATIENCE = 2
"""The wrong order, and the useless question, at which the user leaves. With more, guessing until it fits would do."""
VAGUENESS = 0.1
"""How often a user says less than they might have."""


@dataclass(slots=True)
class Visit:
    """A conversation up to now, as its user sees it."""

    order: Order
    said: set[str] = field(default_factory=set)
    wrong: int = 0
    useless: int = 0
    last: Reply | None = None

    def hear(self, message: Message) -> None:
        if message.role == "user":
            self.said.update(SLOT_OF[value] for value in named_in(message.content))
        elif message.role == "assistant" and message.content:
            self.last = read_reply(message.content)
            self.wrong += self.last.order is not None and self.last.order != self.order
            self.useless += self.last.order is None and self.last.asked <= self.said

    @property
    def was_served(self) -> bool:
        return self.last is not None and self.last.order == self.order

    @property
    def is_over(self) -> bool:
        return self.wrong >= PATIENCE or self.useless >= PATIENCE


def visit_of(order: Order, messages: Sequence[Message]) -> Visit:
    visit = Visit(order=order)
    for message in messages:
        visit.hear(message)
    return visit


def reply(order: Order, messages: Sequence[Message], *, phrasings: str, random: Random) -> tuple[str, bool]:
    """The user's next message to an assistant that has just spoken, and whether they leave with it."""
    visit = visit_of(order, messages)
    if visit.was_served:
        return random.choice(THANKS), True
    if visit.is_over:
        return random.choice(FAREWELLS), True
    way, last = PHRASINGS[phrasings], visit.last or Reply()
    if last.order is not None:
        return _correct(visit, last.order, way, random), False
    return _answer(visit, last.asked, way, random) if last.asked else random.choice(WHAT), False


def _correct(visit: Visit, got: Order, way: Phrasings, random: Random) -> str:
    """One thing that is wrong, first of those that were said already."""
    wrong = [name for name in NAMES if got[name] != visit.order[name]]
    if random.random() < VAGUENESS:
        return random.choice(VAGUE)
    overheard = [name for name in wrong if name in visit.said]
    corrected = (overheard or [random.choice(wrong)])[:1]
    return random.choice(way.corrections).format(spoken(visit.order, corrected))


def _answer(visit: Visit, asked: frozenset[str], way: Phrasings, random: Random) -> str:
    """What was asked for and is news; now and then one thing less."""
    news = [name for name in NAMES if name in asked - visit.said]
    if not news:
        return random.choice(REMINDERS).format(spoken(visit.order, sorted(asked, key=NAMES.index)))
    if len(news) > 1 and random.random() < VAGUENESS:
        news.remove(random.choice(news))
    return random.choice(way.answers).format(spoken(visit.order, news))
