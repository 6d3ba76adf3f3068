"""Benchmark tasks by name, the project's own and everybody else's."""

from collab_sdk.errors import UsageError
from collab_sdk.plugins import import_named, load, names
from collab_sdk.tasks.base import Hub, LeftOutError, Row, Task, first_text
from collab_sdk.tasks.brief import BriefWriter
from collab_sdk.tasks.loader import load_task, no_rows, rows_provenance
from collab_sdk.tasks.openings import OpeningWriter, is_opening, marked
from collab_sdk.tasks.selection import Selection

__all__ = [
    "BriefWriter",
    "Hub",
    "LeftOutError",
    "OpeningWriter",
    "Row",
    "Selection",
    "Task",
    "first_text",
    "get_task",
    "is_opening",
    "load_task",
    "marked",
    "no_rows",
    "rows_provenance",
    "task_names",
]


def task_names() -> list[str]:
    return names("tasks")


def get_task(name: str) -> Task:
    """The task of that name, or the one that `py:MODULE:NAME` names.

    Raises UnknownNameError, listing the known names, and UsageError for what cannot be imported or is not a Task.
    """
    found = import_named(name)[0] if name.startswith("py:") else load("tasks", name)
    if not isinstance(found, Task):
        raise UsageError(f"{name!r} is not a task: expected a collab_sdk.tasks.Task, found {type(found).__name__}.")
    return found
