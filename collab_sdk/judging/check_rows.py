"""A check of a judge as JSON values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from collab_sdk.judging.checker import CheckedJudgements, JudgeCheck
from collab_sdk.judging.people import RatedResponse, ReviewedPair
from collab_sdk.judging.statistics import JudgeStatistic

JUDGE_CHECK_SCHEMA = "collab/judge-check/v1"


def judge_check_row(
    check: JudgeCheck,
    statistics: Sequence[JudgeStatistic],
    checked: Sequence[CheckedJudgements],
    rated: Sequence[RatedResponse] = (),
    reviewed: Sequence[ReviewedPair] = (),
) -> dict[str, Any]:
    """Everything: the statistics, and the judgements that they are made of."""
    return {
        "schema": JUDGE_CHECK_SCHEMA,
        "judge": check.judge.model.name,
        "repeats": check.repeats,
        "made_with": check.scorer.made_with,
        "usage": check.engine.ledger.to_dict(),
        "figures": [{**asdict(each), "value": each.value.to_dict()} for each in statistics],
        "judgements": [
            {"conversation_id": one.conversation.id, **asdict(each)} for one in checked for each in one.judged
        ],
        "rated": [
            {"id": each.conversation.id, "history_id": each.history_id, "human": int(each.is_good), "mr": each.value}
            for each in rated
        ],
        "reviewed": [
            {
                "conversation_id": pair.conversation.id,
                "turn": pair.turn,
                "decision": pair.action,
                "margin": pair.margin,
            }
            for pair in reviewed
        ],
    }
