"""A check as JSON values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from collab_sdk.fidelity.checker import CheckedConversation, SimulatorCheck
from collab_sdk.fidelity.real_and_simulated import UserStatistic
from collab_sdk.fidelity.user_turns import ComparedTurn

CHECK_SCHEMA = "collab/simulator-check/v2"


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
        "verdicts": check.verdicts,
        "figures": [_statistic_row(statistic) for statistic in statistics],
        "turns": [_turn_row(turn) for one in checked for turn in one.turns],
        "rewards": [asdict(pair) for one in checked for pair in one.reward_pairs],
    }


def _statistic_row(statistic: UserStatistic) -> dict[str, Any]:
    difference, ceiling = statistic.difference, statistic.ceiling
    return {
        "name": statistic.name,
        "meaning": statistic.meaning,
        "real": statistic.real,
        "simulated": statistic.simulated.to_dict(),
        "difference": None if difference is None else difference.to_dict(),
        "ceiling": None if ceiling is None else ceiling.to_dict(),
        "part_of": statistic.part_of,
        "percent": statistic.percent,
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
        "user": turn.user,
        "fault": turn.fault,
        "verdict": None if turn.verdict is None else {**asdict(turn.verdict), "valid": not turn.verdict.failed},
        "error": turn.error,
        "unjudged": turn.unjudged,
    }
