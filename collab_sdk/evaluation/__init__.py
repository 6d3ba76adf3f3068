"""Whole conversations with the simulated user, their statistics, and how far the bots' difference is to be trusted."""

from collab_sdk.evaluation.baseline import Baseline, Change, changes
from collab_sdk.evaluation.checks import (
    StatisticCheck,
    check_at_least,
    check_names,
    check_not_worse,
    why_undecided,
)
from collab_sdk.evaluation.comparison import Comparison, PairedStatistic, acompare_bots
from collab_sdk.evaluation.episode import Episode
from collab_sdk.evaluation.evaluation_rows import evaluation_row
from collab_sdk.evaluation.evaluator import Evaluator
from collab_sdk.evaluation.missing import MissingBounds, missing_bounds, mr_bounds
from collab_sdk.evaluation.plot import plot_statistics, require_plot
from collab_sdk.evaluation.provenance import provenance
from collab_sdk.evaluation.questions import has_question_mark
from collab_sdk.evaluation.statistics import (
    BotResult,
    BotStatistic,
    PersonaResult,
    bot_statistics,
    by_persona,
    without_persona,
)

__all__ = [
    "Baseline",
    "BotResult",
    "BotStatistic",
    "Change",
    "Comparison",
    "Episode",
    "Evaluator",
    "MissingBounds",
    "PairedStatistic",
    "PersonaResult",
    "StatisticCheck",
    "acompare_bots",
    "bot_statistics",
    "by_persona",
    "changes",
    "check_at_least",
    "check_names",
    "check_not_worse",
    "evaluation_row",
    "has_question_mark",
    "missing_bounds",
    "mr_bounds",
    "plot_statistics",
    "provenance",
    "require_plot",
    "why_undecided",
    "without_persona",
]
