"""How human the simulated user is, against the users of logged chats, and what its MR is worth."""

from collab_sdk.fidelity.check_cost import estimate_check
from collab_sdk.fidelity.check_rows import check_row
from collab_sdk.fidelity.checker import CheckedConversation, SimulatorCheck
from collab_sdk.fidelity.classifier import require_classifier
from collab_sdk.fidelity.real_and_simulated import UserStatistic, user_statistics
from collab_sdk.fidelity.user_turns import ComparedTurn, TurnVerdict, user_turns

__all__ = [
    "CheckedConversation",
    "ComparedTurn",
    "SimulatorCheck",
    "TurnVerdict",
    "UserStatistic",
    "check_row",
    "estimate_check",
    "require_classifier",
    "user_statistics",
    "user_turns",
]
