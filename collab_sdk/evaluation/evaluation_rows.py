"""An evaluation as JSON values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from collab_sdk.evaluation.episode import Episode
from collab_sdk.evaluation.evaluator import Evaluator
from collab_sdk.evaluation.missing import MissingBounds
from collab_sdk.evaluation.statistics import BotResult, BotStatistic, PersonaResult
from collab_sdk.score_rows import future_row
from collab_sdk.stats import Estimate

EVALUATION_SCHEMA = "collab/evaluation/v1"


def evaluation_row(
    evaluator: Evaluator,
    results: Sequence[BotResult],
    statistics: Sequence[BotStatistic],
    missing: Sequence[MissingBounds],
    *,
    personas: Sequence[PersonaResult] = (),
    made_with: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything: the statistics, what is missing from them, and every conversation. Bots are in the order given.

    `results` have the conversations with users of every persona, if `personas` are compared; the statistics do not.
    """
    return {
        "schema": EVALUATION_SCHEMA,
        "task": evaluator.task.name,
        "exchanges": evaluator.exchanges,
        "samples": evaluator.samples,
        "simulator": evaluator.simulator.name,
        "judge": evaluator.judge.model.name,
        "bots": [result.name for result in results],
        "figures": _figure_rows(statistics),
        **({"by_persona": [_persona_row(each) for each in personas]} if personas else {}),
        "missing": [asdict(each) for each in missing],
        "made_with": dict(made_with),
        "results": [_result_row(result) for result in results],
    }


def _figure_rows(statistics: Sequence[BotStatistic]) -> list[dict[str, Any]]:
    return [
        {
            "name": statistic.name,
            "means": [_estimate_row(mean) for mean in statistic.means],
            "differences": [_estimate_row(difference) for difference in statistic.differences],
        }
        for statistic in statistics
    ]


def _persona_row(each: PersonaResult) -> dict[str, Any]:
    """Means are by persona, differences each persona minus the first, which is none."""
    return {
        "bot": each.bot,
        "personas": list(each.personas),
        "conversations": [len(result.done) for result in each.results],
        "ends": [dict(sorted(result.ends.items())) for result in each.results],
        "figures": _figure_rows(each.statistics),
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
        "row_sha256": played.row_sha256,
        "opening": [message.to_dict() for message in played.opening],
        **future_row(played.future),
        "questions": list(played.questions),
        "is_ambiguous": played.is_ambiguous,
        "asks": played.asks,
    }


def _estimate_row(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()
