"""The users at the desk: they say what is asked for, correct one thing at a time, and leave when it drags on.

So does the standing user. Those of the hidden population want the same and behave otherwise, each in a manner of their
own, which nobody who plays the standing user knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from collab_order_desk.phrasings import PHRASINGS
from collab_order_desk.speech import Reply, read_reply
from collab_order_desk.wording import Phrasings, part
from collab_order_desk.world import NAMES, SLOT_OF, Order, named_in
from collab_sdk.messages import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How a user behaves, whatever they want."""

    patience: int = 2
    """The wrong order, and the useless question, at which they leave. With more, guessing until it fits would do."""
    vagueness: float = 0.1
    """How often they say less than they might have."""
    at_once: int = len(NAMES)
    """The most things that they say in one answer."""
    most_asked: int = len(NAMES)
    """The most things that can be asked for at once. Asked for more, they say nothing of them."""
    walks_out: bool = False
    """Whether they leave when asked for more than that."""
    accepts_first: bool = False
    """Whether they accept a wrong order at first, and correct it when they hear of it again."""


STANDING = Manner()
"""The user whom everybody knows."""
HIDDEN: Mapping[str, tuple[float, Manner]] = {
    "terse": (0.35, Manner(at_once=1, most_asked=2)),
    "impatient": (0.35, Manner(patience=1, most_asked=2, walks_out=True)),
    "vague": (0.15, Manner(vagueness=0.5, most_asked=3)),
    "late": (0.15, Manner(patience=3, accepts_first=True)),
}
"""The hidden population: its manners and the share of users who have each."""


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

    def is_over(self, manner: Manner) -> bool:
        """Whether its user leaves, though they were not served."""
        is_too_long = self.last is not None and len(self.last.asked) > manner.most_asked
        return self.wrong >= manner.patience or self.useless >= manner.patience or (manner.walks_out and is_too_long)


def visit_of(order: Order, messages: Sequence[Message]) -> Visit:
    visit = Visit(order=order)
    for message in messages:
        visit.hear(message)
    return visit


def reply(
    order: Order, messages: Sequence[Message], *, phrasings: str, random: Random, manner: Manner = STANDING
) -> tuple[str, bool]:
    """The user's next message to an assistant that has just spoken, and whether they leave with it."""
    visit, way = visit_of(order, messages), PHRASINGS[phrasings]
    if visit.was_served:
        return way.say(way.thanks, random), True
    if visit.is_over(manner):
        return way.say(way.farewells, random), True
    last = visit.last or Reply()
    if last.order is not None:
        if manner.accepts_first and visit.wrong == 1:
            return way.say(way.acceptances, random), False
        return _correct(visit, last.order, way, manner, random), False
    if not last.asked or len(last.asked) > manner.most_asked:
        return way.say(way.what, random), False
    return _answer(visit, last.asked, way, manner, random), False


def _correct(visit: Visit, got: Order, way: Phrasings, manner: Manner, random: Random) -> str:
    """One thing that is wrong, first of those that were said already."""
    wrong = [name for name in NAMES if got[name] != visit.order[name]]
    if random.random() < manner.vagueness:
        return way.say(way.vague, random)
    overheard = [name for name in wrong if name in visit.said]
    corrected = (overheard or [random.choice(wrong)])[:1]
    return way.say(way.corrections, random, named=part(visit.order, corrected), wrong=part(got, corrected))


def _answer(visit: Visit, asked: frozenset[str], way: Phrasings, manner: Manner, random: Random) -> str:
    """What was asked for and is news, as far as their manner lets them; now and then one thing less."""
    news = [name for name in NAMES if name in asked - visit.said]
    if not news:
        return way.say(way.reminders, random, named=part(visit.order, sorted(asked, key=NAMES.index)))
    if len(news) > 1 and random.random() < manner.vagueness:
        news.remove(random.choice(news))
    return way.say(way.answers, random, named=part(visit.order, news[: manner.at_once]))
