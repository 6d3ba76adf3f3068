"""An evaluation as JSON values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from collab_sdk.evaluation.episode import Episode
from collab_sdk.evaluation.evaluator import Evaluator
from collab_sdk.evaluation.missing import MissingBounds
from collab_sdk.evaluation.statistics import BotResult, BotStatistic
from collab_sdk.score_rows import future_row
from collab_sdk.stats import Estimate

EVALUATION_SCHEMA = "collab/evaluation/v1"


def evaluation_row(
    evaluator: Evaluator,
    results: Sequence[BotResult],
    statistics: Sequence[BotStatistic],
    missing: Sequence[MissingBounds],
    *,
    made_with: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything: the statistics, what is missing from them, and every conversation. Bots are in the order given."""
    return {
        "schema": EVALUATION_SCHEMA,
        "task": evaluator.task.name,
        "exchanges": evaluator.exchanges,
        "samples": evaluator.samples,
        "simulator": evaluator.simulator.name,
        "judge": evaluator.judge.model.name,
        "bots": [result.name for result in results],
        "figures": [
            {
                "name": statistic.name,
                "means": [_estimate_row(mean) for mean in statistic.means],
                "differences": [_estimate_row(difference) for difference in statistic.differences],
            }
            for statistic in statistics
        ],
        "missing": [asdict(each) for each in missing],
        "made_with": dict(made_with),
        "results": [_result_row(result) for result in results],
    }


def _result_row(result: BotResult) -> dict[str, Any]:
    return {
        "bot": result.name,
        "ends": dict(sorted(result.ends.items())),
        "users": result.users.to_rows(),
        "failed": dict(result.failed),
        "usage": asdict(result.usage),
        "usage_by_role": {role: asdict(usage) for role, usage in result.usage_by_role.items()},
        "conversations": [_played_row(one) for one in result.played],
    }


def _played_row(played: Episode) -> dict[str, Any]:
    return {
        "conversation_id": played.conversation_id,
        "opening": [message.to_dict() for message in played.opening],
        **future_row(played.future),
        "questions": list(played.questions),
        "is_ambiguous": played.is_ambiguous,
        "asks": played.asks,
    }


def _estimate_row(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()
