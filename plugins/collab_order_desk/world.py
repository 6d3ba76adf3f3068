"""What can be ordered at the desk, who wants it, and what was said of it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random
from typing import Literal

from collab_order_desk.lexicon import mentions, plain
from collab_sdk.messages import Message

Order = Mapping[str, str]
"""Slot to value. A goal, and what an assistant delivers, has every slot."""
Split = Literal["train", "held-out"]
HELD_OUT = 0.2
"""The share of all orders that no training conversation is about."""
SPLIT = "2026-11-29"
"""Names the draw of these orders. No setting of a training was chosen by it; that the controls of docs/order-desk.md
differ from the tuned training was, after two seeds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """One thing to be settled. `asked` is how a question names it."""

    name: str
    values: tuple[str, ...]
    asked: str


SLOTS = (
    Slot(
        name="drink",
        values=("latte", "mocha", "cappuccino", "americano", "espresso", "macchiato", "cortado", "chai"),
        asked="drink",
    ),
    Slot(name="size", values=("small", "medium", "large"), asked="size"),
    Slot(name="milk", values=("whole", "skim", "oat", "soy", "almond"), asked="milk"),
    Slot(name="syrup", values=("vanilla", "hazelnut", "caramel", "chocolate", "honey"), asked="syrup"),
    Slot(name="service", values=("here", "to go"), asked="here or to go"),
)
NAMES = tuple(slot.name for slot in SLOTS)
SLOT_OF = {value: slot.name for slot in SLOTS for value in slot.values}


@cache
def orders(split: Split) -> Sequence[Order]:
    """Every order of a split."""
    every = (dict(zip(NAMES, values, strict=True)) for values in product(*(slot.values for slot in SLOTS)))
    return tuple(order for order in every if is_held_out(order) == (split == "held-out"))


def is_held_out(order: Order) -> bool:
    """Whether the order is for evaluation only: decided by its combination of values, each of which is trained on."""
    digest = hashlib.sha256(f"{SPLIT}\n{goal_text(order)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT * 2**64


def goal_text(order: Order) -> str:
    return "\n".join(f"{name}: {order[name]}" for name in NAMES)


def read_order(text: str) -> Order:
    """The order of `key: value` lines. Raises ValueError where a slot is missing or has no such value."""
    lines = (line.partition(":") for line in text.splitlines())
    order = {name.strip(): value.strip() for name, _, value in lines}
    if order.keys() != set(NAMES) or any(SLOT_OF.get(value) != name for name, value in order.items()):
        raise ValueError(f"an order at the desk names {', '.join(NAMES)}, each with a value that there is")
    return order


def named_in(text: str) -> list[str]:
    """The values that a text names and does not rule out, in its order."""
    return [mention.value for mention in mentions(plain(text)) if not mention.is_denied]


def said_by_user(messages: Iterable[Message]) -> dict[str, str]:
    """What the user has said of their order. Users never change their mind."""
    said = (value for message in messages if message.role == "user" for value in named_in(message.content))
    return {SLOT_OF[value]: value for value in said}


def consistent_orders(said: Order, *, refused: Iterable[Order], n: int, random: Random) -> list[Order]:
    """At most `n` distinct orders, none of them held out, of a user who has said this and did not take `refused`."""
    excluded = list(refused)
    fitting = [order for order in orders("train") if said.items() <= order.items() and order not in excluded]
    return random.sample(fitting, min(n, len(fitting)))
