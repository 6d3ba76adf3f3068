"""A check as JSON values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from collab_sdk.fidelity.checker import CheckedConversation, SimulatorCheck
from collab_sdk.fidelity.real_and_simulated import UserStatistic
from collab_sdk.fidelity.user_turns import ComparedTurn

CHECK_SCHEMA = "collab/simulator-check/v1"


def check_row(
    check: SimulatorCheck, checked: Sequence[CheckedConversation], statistics: Sequence[UserStatistic]
) -> dict[str, Any]:
    """Everything: the statistics, and the turns and rewards that they are made of."""
    rollout = check.scorer.rollout
    return {
        "schema": CHECK_SCHEMA,
        "simulator": check.simulator.name,
        "assistant": rollout.assistant.name,
        "judge": check.scorer.judge.model.name,
        "window": rollout.window,
        "samples": rollout.samples,
        "made_with": check.scorer.made_with,
        "usage": check.engine.ledger.to_dict(),
        "figures": [asdict(statistic) for statistic in statistics],
        "turns": [_turn_row(turn) for one in checked for turn in one.turns],
        "rewards": [asdict(pair) for one in checked for pair in one.reward_pairs],
    }


def _turn_row(turn: ComparedTurn) -> dict[str, Any]:
    said = turn.simulated
    return {
        "conversation_id": turn.conversation_id,
        "turn": turn.turn,
        "goal": turn.goal.text,
        "history": [message.to_dict() for message in turn.history],
        "real": {"message": turn.real, "stops": turn.real_stops},
        "simulated": {"message": said.message, "stops": said.done, "reason": said.reason} if said else None,
        "error": turn.error,
    }
