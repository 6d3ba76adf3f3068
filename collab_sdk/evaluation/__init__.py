"""Whole conversations with the simulated user, what they came to, and how far the bots' difference is to be trusted."""

from collab_sdk.evaluation.comparison import Comparison, PairedStatistic, acompare_bots
from collab_sdk.evaluation.estimate import estimate_evaluation
from collab_sdk.evaluation.evaluator import Evaluator
from collab_sdk.evaluation.figures import BotResult, Figure, figures
from collab_sdk.evaluation.played import Played
from collab_sdk.evaluation.plot import plot_figures, require_plot
from collab_sdk.evaluation.questions import has_question_mark
from collab_sdk.evaluation.rows import evaluation_row
from collab_sdk.models.instructed import as_bot

__all__ = [
    "BotResult",
    "Comparison",
    "Evaluator",
    "Figure",
    "PairedStatistic",
    "Played",
    "acompare_bots",
    "as_bot",
    "estimate_evaluation",
    "evaluation_row",
    "figures",
    "has_question_mark",
    "plot_figures",
    "require_plot",
]
