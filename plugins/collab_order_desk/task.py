"""The order desk as a benchmark: customers whose orders no training conversation was about."""

from collections.abc import Iterator

from collab_order_desk.customers import customers
from collab_order_desk.world import NAMES, goal_text, named_in, read_order
from collab_sdk.errors import InputError
from collab_sdk.messages import Message
from collab_sdk.tasks import Row, Task
from collab_sdk.types import Conversation, Goal

CUSTOMERS = 500


def rows() -> Iterator[Row]:
    """`{"id", "goal", "opening"}` of held-out customers."""
    for customer in customers(CUSTOMERS, seed=0, split="held-out"):
        yield {"id": customer.id, "goal": goal_text(customer.order), "opening": customer.opening}


def read(row: Row) -> Conversation:
    opening, goal = row.get("opening"), row.get("goal")
    if not isinstance(opening, str) or not isinstance(goal, str):
        raise InputError("no opening and goal in it")
    try:
        read_order(goal)
    except ValueError as error:
        raise InputError(str(error)) from None
    return Conversation(
        id=str(row.get("id", "")),
        messages=(Message(role="user", content=opening),),
        goal=Goal(text=goal),
        metadata={"ambiguous": len(named_in(opening)) < len(NAMES)},
    )


TASK = Task(name="order-desk", metric="exact_order", read=read, made=rows, exchanges=4)
