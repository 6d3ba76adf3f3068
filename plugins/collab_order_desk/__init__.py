"""The order desk: a coffee bar in which asking pays exactly when something was left unsaid."""

from collab_order_desk.customers import Customer, customers
from collab_order_desk.evaluation import measure
from collab_order_desk.metrics import exact_order, right_slots
from collab_order_desk.model import OrderDeskUser
from collab_order_desk.policies import NATURAL_POLICIES, POLICIES
from collab_order_desk.task import TASK
from collab_order_desk.till import Till

__all__ = [
    "NATURAL_POLICIES",
    "POLICIES",
    "TASK",
    "Customer",
    "OrderDeskUser",
    "Till",
    "customers",
    "exact_order",
    "measure",
    "right_slots",
]
