"""How far a judge can be trusted: what it gives for nothing, whether it says the same twice, who agrees with it."""

from collab_sdk.judging.check_cost import estimate_judge_check
from collab_sdk.judging.check_rows import judge_check_row
from collab_sdk.judging.checker import CheckedJudgements, JudgeCheck, Judged, Probe
from collab_sdk.judging.figures import JudgeFigure, judge_figures
from collab_sdk.judging.people import (
    PeopleCheck,
    RatedResponse,
    ReviewedPair,
    read_rated_responses,
    read_reviewed_pairs,
)

__all__ = [
    "CheckedJudgements",
    "JudgeCheck",
    "JudgeFigure",
    "Judged",
    "PeopleCheck",
    "Probe",
    "RatedResponse",
    "ReviewedPair",
    "estimate_judge_check",
    "judge_check_row",
    "judge_figures",
    "read_rated_responses",
    "read_reviewed_pairs",
]
