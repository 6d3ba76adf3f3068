"""What is registered under an entry-point group: the project's own and everybody else's alike."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["registered"]


@cache
def registered(group: str) -> "Mapping[str, EntryPoint]":
    """Entry points by name; looked up once a process, since it reads the metadata of every installed package."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=group)}
