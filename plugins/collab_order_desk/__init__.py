"""The order desk: a coffee bar in which asking pays exactly when something was left unsaid."""

from collab_sdk.tasks.order_desk.model import OrderDeskUser
from collab_sdk.tasks.order_desk.policies import POLICIES
from collab_sdk.tasks.order_desk.reward import exact_order, right_slots
from collab_sdk.tasks.order_desk.visits import Visitor, visitors

__all__ = ["POLICIES", "OrderDeskUser", "Visitor", "exact_order", "right_slots", "visitors"]
