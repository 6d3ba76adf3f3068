"""Benchmark tasks by name, the project's own and everybody else's."""

from typing import cast

from collab_sdk.errors import UnknownNameError
from collab_sdk.plugins import load, registered
from collab_sdk.tasks.base import Hub, Row, Task, first_text
from collab_sdk.tasks.brief import BriefWriter
from collab_sdk.tasks.loader import load_task

PLUGIN_GROUP = "collab_sdk.tasks"


def task_names() -> list[str]:
    return sorted(registered(PLUGIN_GROUP))


def get_task(name: str) -> Task:
    """The task of that name. Raises UnknownNameError, listing the known ones."""
    if name not in registered(PLUGIN_GROUP):
        raise UnknownNameError.of("task", name, task_names())
    return cast(Task, load(PLUGIN_GROUP, name))


__all__ = ["BriefWriter", "Hub", "Row", "Task", "first_text", "get_task", "load_task", "task_names"]
