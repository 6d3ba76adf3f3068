"""Who comes to the desk: orders with the openings that name some of their slots."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from collab_order_desk.phrasings import PHRASINGS, TRAINED
from collab_order_desk.wording import Phrasings, part
from collab_order_desk.world import NAMES, Order, Split, goal_text, orders
from collab_sdk.messages import Message
from collab_sdk.types import Conversation, Goal

CLEAR = 0.35
"""The share of openings that leave nothing open."""
MOST_OPEN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Customer:
    """A user with an order and the words they open with."""

    id: str
    order: Order
    opening: str
    is_clear: bool

    @property
    def goal(self) -> Goal:
        return Goal(text=goal_text(self.order))

    @property
    def history(self) -> tuple[Message, ...]:
        return (Message(role="user", content=self.opening),)

    def conversation(self, *replies: Message) -> Conversation:
        return Conversation(id=self.id, messages=(*self.history, *replies), goal=self.goal)


def customers(
    n: int,
    *,
    seed: int,
    split: Split = "train",
    phrasings: str | None = None,
    always: Collection[str] = (),
    never: Collection[str] = (),
) -> list[Customer]:
    """`n` customers, always the same for a seed. `phrasings` as in OrderDeskUser.

    The slots `always` are named in every opening, whatever else is, and the slots `never` in none.
    """
    random = Random(f"{split}/{seed}")  # noqa: S311 - no secret
    drawn = (_drawn(split, phrasings, random) for _ in range(n))
    return [
        _customer(f"{split}-{seed}-{i}", order, (named | set(always)) - set(never), way, random)
        for i, (order, named, way) in enumerate(drawn)
    ]


def _drawn(split: Split, phrasings: str | None, random: Random) -> tuple[Order, set[str], Phrasings]:
    order = random.choice(orders(split))
    n_open = 0 if random.random() < CLEAR else random.randint(1, MOST_OPEN)
    named = random.sample(NAMES, len(NAMES) - n_open)
    return order, set(named), PHRASINGS[phrasings or random.choice(sorted(TRAINED))]


def _customer(id: str, order: Order, named: set[str], way: Phrasings, random: Random) -> Customer:
    opening = way.opening(part(order, [name for name in NAMES if name in named]), random)
    is_clear = len(named) == len(NAMES)
    return Customer(id=id, order=order, opening=opening, is_clear=is_clear)
