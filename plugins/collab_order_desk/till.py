"""The till of the desk: where assistants have tools, an order is what was placed there, whatever was said of it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from collab_order_desk.speech import last_order, read_reply
from collab_order_desk.world import NAMES, SLOT_OF, Order
from collab_sdk.messages import Message, ToolCall

PLACE_ORDER = "place_order"
PLACED = "placed"
"""What the till answers."""


class Till:
    """One customer's till. What is ordered replaces what was ordered before."""

    def __init__(self) -> None:
        self.order: Order | None = None

    def place_order(
        self,
        drink: Literal["latte", "mocha", "cappuccino", "americano", "espresso", "macchiato", "cortado", "chai"],
        size: Literal["small", "medium", "large"],
        milk: Literal["whole", "skim", "oat", "soy", "almond"],
        syrup: Literal["vanilla", "hazelnut", "caramel", "chocolate", "honey"],
        service: Literal["here", "to go"],
    ) -> str:
        """Order a drink at the till, in place of the one that was ordered before."""
        self.order = {"drink": drink, "size": size, "milk": milk, "syrup": syrup, "service": service}
        return PLACED


def place(order: Order, *, id: str) -> dict[str, Any]:
    """The call that orders it, in OpenAI's form."""
    arguments = json.dumps({name: order[name] for name in NAMES})
    return {"id": id, "type": "function", "function": {"name": PLACE_ORDER, "arguments": arguments}}


def has_till(messages: Iterable[Message], offered: Iterable[str] = ()) -> bool:
    """Whether the assistant could order at the till, by the names of the tools it was offered, or did."""
    called = (call.name for message in messages for call in message.calls)
    return PLACE_ORDER in offered or PLACE_ORDER in called


def till_of(messages: Iterable[Message]) -> Till:
    """The till after a conversation: its calls, made again on a new one. What has another result was never done."""
    till, waiting = Till(), dict[str | None, ToolCall]()
    for message in messages:
        waiting.update({call.id: call for call in message.calls})
        call = waiting.pop(message.tool_call_id, None) if message.role == "tool" else None
        if message.content.strip() != PLACED:
            continue
        arguments = call.parsed if call is not None and call.name == PLACE_ORDER else None
        if arguments is not None and _is_order(arguments):
            till.place_order(**arguments)
    return till


def _is_order(arguments: Mapping[str, Any]) -> bool:
    known = arguments.keys() == set(NAMES)
    return known and all(isinstance(value, str) and SLOT_OF.get(value) == name for name, value in arguments.items())


def ordered(messages: Sequence[Message], offered: Iterable[str] = ()) -> Order | None:
    """What was delivered in the end: what the till has, or, where there is none, what was said."""
    return till_of(messages).order if has_till(messages, offered) else last_order(messages)


def claims(messages: Sequence[Message]) -> list[bool]:
    """For each order that the assistant told the customer of, whether it was on the till by then."""
    said = [
        (place, order)
        for place, message in enumerate(messages)
        if message.role == "assistant" and (order := read_reply(message.content).order) is not None
    ]
    return [till_of(messages[:place]).order == order for place, order in said]
