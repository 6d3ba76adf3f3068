"""What a way of speaking consists of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from collab_order_desk.world import Order
from collab_sdk.models import NOTHING


def _as_it_is(text: str, random: Random) -> str:
    return text


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrasings:
    """A user's sentences, each drawn from a few.

    `requests` hold an order as `phrased`, of which the first part stands in the request and the others come after it;
    `answers`, `corrections` and `reminders` hold parts of it as `spoken`, and a correction also what it is that is
    wrong. `finish` makes of a message what is sent.
    """

    requests: Sequence[str]
    phrased: Callable[[Order, Random], Sequence[str]]
    answers: Sequence[str]
    corrections: Sequence[str]
    spoken: Callable[[Order, Random], str]
    vague: Sequence[str]
    reminders: Sequence[str]
    thanks: Sequence[str]
    acceptances: Sequence[str]
    farewells: Sequence[str]
    what: Sequence[str]
    finish: Callable[[str, Random], str] = _as_it_is

    def opening(self, named: Order, random: Random) -> str:
        """The first message of a user who names these slots of their order, and thereby settles nothing else."""
        request = random.choice(self.requests)
        first, *others = self.phrased(named, random)
        return self.finish(" ".join([request.format(first), *others]), random)

    def say(self, sentences: Sequence[str], random: Random, *, named: Order = NOTHING, wrong: Order = NOTHING) -> str:
        """One of the sentences, with what it names, and with what is wrong."""
        sentence = random.choice(sentences)
        return self.finish(sentence.format(self.spoken(named, random), wrong=self.spoken(wrong, random)), random)


def part(order: Mapping[str, str], slots: Sequence[str]) -> Order:
    """These slots of an order."""
    return {name: order[name] for name in slots}
