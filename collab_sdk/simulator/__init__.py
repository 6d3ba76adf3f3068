"""Who plays the user: a prompted model, a model that is the user, a script, the logs, a function, a person."""

from collab_sdk.simulator.base import Situation, User, UserTurn
from collab_sdk.simulator.function import FunctionUser
from collab_sdk.simulator.plain import END_OF_CONVERSATION, PlainUser, changed_sides
from collab_sdk.simulator.describing import PersonaReader, typed_by_user
from collab_sdk.simulator.personas import (
    NOBODY,
    PERSONA_SCHEMA,
    PERSONAS,
    as_persona,
    persona_row,
    personas_of,
    read_personas,
)
from collab_sdk.simulator.prompted import STYLE_EXAMPLES, PromptedUser
from collab_sdk.simulator.resolve import UserLike, as_user, is_prompted
from collab_sdk.simulator.script import Script
from collab_sdk.simulator.simulator import Seat, Simulator, Users

__all__ = [
    "END_OF_CONVERSATION",
    "NOBODY",
    "PERSONAS",
    "PERSONA_SCHEMA",
    "STYLE_EXAMPLES",
    "FunctionUser",
    "PersonaReader",
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
    "as_persona",
    "as_user",
    "changed_sides",
    "is_prompted",
    "persona_row",
    "personas_of",
    "read_personas",
    "typed_by_user",
]
