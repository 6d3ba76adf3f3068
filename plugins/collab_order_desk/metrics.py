"""What a visit to the desk was worth: the exact order, and how much of it was right."""

from collections.abc import Callable
from dataclasses import dataclass

from collab_order_desk.till import ordered
from collab_order_desk.world import NAMES, Order, read_order
from collab_sdk.errors import UsageError
from collab_sdk.metrics import Evidence
from collab_sdk.types import Goal


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderMetric:
    """A number about the order that was delivered in the end; 0 if there was none.

    Where the assistant has a till, that is what is on the till, and what it only says counts for nothing.
    """

    name: str
    compare: Callable[[Order, Order], float]

    def check(self, goal: Goal) -> None:
        try:
            read_order(goal.text)
        except ValueError as error:
            raise UsageError(f"The metric {self.name} measures goals of the order desk only: {error}.") from None

    def value(self, evidence: Evidence) -> float:
        offered = [tool.get("function", tool).get("name", "") for tool in evidence.tools]
        delivered = ordered(evidence.messages, offered)
        return 0.0 if delivered is None else self.compare(delivered, read_order(evidence.goal.text))


def exact_order() -> OrderMetric:
    """1 for the order that was wanted, else 0."""
    return OrderMetric(name="exact_order", compare=lambda order, goal: float(order == goal))


def right_slots() -> OrderMetric:
    """The share of slots that are right."""
    return OrderMetric(
        name="right_slots", compare=lambda order, goal: sum(order[name] == goal[name] for name in NAMES) / len(NAMES)
    )
