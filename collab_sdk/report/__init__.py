"""A page to look at before training: one HTML file on pairs, scores, an evaluation or a check of the simulator."""

from collab_sdk.report.applying import Applied, apply_decisions
from collab_sdk.report.decisions import Decision, Decisions, PairAction, read_decisions
from collab_sdk.report.report import write_report

__all__ = ["Applied", "Decision", "Decisions", "PairAction", "apply_decisions", "read_decisions", "write_report"]
