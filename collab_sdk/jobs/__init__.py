"""What travels to another machine: the commands' jobs as data, values as JSON, errors by their name."""

from collab_sdk.jobs.jobs import (
    JOBS,
    EvaluateJob,
    ExportJob,
    Roles,
    ScoreJob,
    build_rollout,
    build_scorer,
    code_digest,
    logs_of_users,
    roles_of,
)
from collab_sdk.jobs.wire import error_of, error_row
from collab_sdk.values import dumps, loads

__all__ = [
    "JOBS",
    "EvaluateJob",
    "ExportJob",
    "Roles",
    "ScoreJob",
    "build_rollout",
    "build_scorer",
    "code_digest",
    "dumps",
    "error_of",
    "error_row",
    "loads",
    "logs_of_users",
    "roles_of",
]
