"""Benchmark tasks by name, the project's own and everybody else's."""

from collab_sdk.errors import UsageError
from collab_sdk.plugins import function_code, import_named, load, names
from collab_sdk.tasks.base import Hub, LeftOutError, Row, Task, first_text
from collab_sdk.tasks.brief import BriefWriter
from collab_sdk.tasks.loader import load_task, no_rows, row_digest, rows_provenance
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
    "code_of_task",
    "first_text",
    "get_task",
    "is_opening",
    "load_task",
    "marked",
    "no_rows",
    "row_digest",
    "rows_provenance",
    "task_names",
]


def task_names() -> list[str]:
    return names("tasks")


def code_of_task(task: Task) -> str | None:
    """A hash of the code of a task of one's own, whose rows mean something else when it changes.

    None for the package's own.
    """
    if task.read.__module__.startswith("collab_sdk."):
        return None
    return " ".join(function_code(each) for each in (task.read, task.made) if each is not None)


def get_task(name: str) -> Task:
    """The task of that name, or the one that `py:MODULE:NAME` names.

    Raises UnknownNameError, listing the known names, and UsageError for what cannot be imported or is not a Task.
    """
    found = import_named(name)[0] if name.startswith("py:") else load("tasks", name)
    if not isinstance(found, Task):
        raise UsageError(f"{name!r} is not a task: expected a collab_sdk.tasks.Task, found {type(found).__name__}.")
    return found
