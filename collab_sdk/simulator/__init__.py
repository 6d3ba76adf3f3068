"""Who plays the user: a prompted model, a model that is the user, a script, the logs, a function, a person."""

from collab_sdk.personas import (
    NOBODY,
    PERSONA_SCHEMA,
    PERSONAS,
    as_persona,
    as_personas,
    persona_row,
    personas_of,
    read_personas,
)
from collab_sdk.prompts import END_OF_CONVERSATION
from collab_sdk.simulator.base import SILENCE, Situation, User, UserTurn
from collab_sdk.simulator.faults import SERVICES, Fault, fault_of
from collab_sdk.simulator.function import FunctionUser
from collab_sdk.simulator.human import HUMAN, HumanUser
from collab_sdk.simulator.persona_reader import PersonaReader, typed_by_user
from collab_sdk.simulator.plain import PlainUser, flip_roles
from collab_sdk.simulator.prompted import STYLE_EXAMPLES, PromptedUser
from collab_sdk.simulator.resolve import (
    UserLike,
    as_user,
    default_settings,
    files_of_user,
    is_prompted,
    takes_settings,
)
from collab_sdk.simulator.retrieval import LoggedUser
from collab_sdk.simulator.script import Script
from collab_sdk.simulator.simulator import Seat, Simulator, Users
from collab_sdk.simulator.totals import UserTotals

__all__ = [
    "END_OF_CONVERSATION",
    "HUMAN",
    "NOBODY",
    "PERSONAS",
    "PERSONA_SCHEMA",
    "SERVICES",
    "SILENCE",
    "STYLE_EXAMPLES",
    "Fault",
    "FunctionUser",
    "HumanUser",
    "LoggedUser",
    "PersonaReader",
    "PlainUser",
    "PromptedUser",
    "Script",
    "Seat",
    "Simulator",
    "Situation",
    "User",
    "UserLike",
    "UserTotals",
    "UserTurn",
    "Users",
    "as_persona",
    "as_personas",
    "as_user",
    "default_settings",
    "fault_of",
    "files_of_user",
    "flip_roles",
    "is_prompted",
    "persona_row",
    "personas_of",
    "read_personas",
    "takes_settings",
    "typed_by_user",
]
