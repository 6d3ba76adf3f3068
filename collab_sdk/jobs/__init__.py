"""What travels to another machine: the commands' jobs in names and numbers, and values as JSON."""

from collab_sdk.jobs.jobs import JOBS, Cast, EvaluateJob, ExportJob, Models, ScoreJob
from collab_sdk.jobs.wire import dumps, error_of, error_row, loads

__all__ = [
    "JOBS",
    "Cast",
    "EvaluateJob",
    "ExportJob",
    "Models",
    "ScoreJob",
    "dumps",
    "error_of",
    "error_row",
    "loads",
]
