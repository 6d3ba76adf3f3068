"""How far a judge can be trusted: what it gives for nothing, whether it says the same twice, who agrees with it."""

from collab_sdk.judging.check_cost import estimate_judge_check
from collab_sdk.judging.check_rows import judge_check_row
from collab_sdk.judging.checker import CheckedJudgements, JudgeCheck, Judged, Probe
from collab_sdk.judging.people import (
    PeopleCheck,
    RatedResponse,
    ReviewedPair,
    read_rated_responses,
    read_reviewed_pairs,
)
from collab_sdk.judging.statistics import JudgeStatistic, judge_statistics

__all__ = [
    "CheckedJudgements",
    "JudgeCheck",
    "JudgeStatistic",
    "Judged",
    "PeopleCheck",
    "Probe",
    "RatedResponse",
    "ReviewedPair",
    "estimate_judge_check",
    "judge_check_row",
    "judge_statistics",
    "read_rated_responses",
    "read_reviewed_pairs",
]
