"""What assistants say at the desk: orders and questions, as they are written and as they are understood."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from collab_order_desk.world import NAMES, SLOT_OF, SLOTS, Order, named_in
from collab_sdk.messages import Message

ASKED = re.compile(r"\b(?:" + "|".join(slot.asked for slot in SLOTS) + r")\b", re.IGNORECASE)
SLOT_ASKED = {slot.asked: slot.name for slot in SLOTS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What an assistant's message amounts to: an order, or a question about slots; neither if it is malformed."""

    order: Order | None = None
    asked: frozenset[str] = frozenset()

    @property
    def is_malformed(self) -> bool:
        return self.order is None and not self.asked


def read_reply(text: str) -> Reply:
    """A question ends with a question mark and names slots; an order names one value for every slot."""
    if text.rstrip().endswith("?"):
        return Reply(asked=frozenset(SLOT_ASKED[words.lower()] for words in ASKED.findall(text)))
    values = named_in(text)
    order = {SLOT_OF[value]: value for value in values}
    complete = len(values) == len(order) == len(NAMES)
    return Reply(order={name: order[name] for name in NAMES} if complete else None)


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
