"""Who plays the user: a prompted model, a model that is the user, a script, the logs, a function, a person."""

from collab_sdk.simulator.base import Situation, User, UserTurn
from collab_sdk.simulator.faults import Fault, check_turn
from collab_sdk.simulator.function import FunctionUser
from collab_sdk.simulator.plain import END_OF_CONVERSATION, PlainUser, changed_sides
from collab_sdk.simulator.prompted import STYLE_EXAMPLES, PromptedUser
from collab_sdk.simulator.resolve import UserLike, as_user, is_prompted
from collab_sdk.simulator.script import Script
from collab_sdk.simulator.simulator import Seat, Simulator, Users

__all__ = [
    "END_OF_CONVERSATION",
    "STYLE_EXAMPLES",
    "Fault",
    "FunctionUser",
    "PlainUser",
    "PromptedUser",
    "Script",
    "Seat",
    "Simulator",
    "Situation",
    "User",
    "UserLike",
    "UserTurn",
    "Users",
    "as_user",
    "changed_sides",
    "check_turn",
    "is_prompted",
]
