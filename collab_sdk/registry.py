"""What is registered under an entry-point group: the project's own and everybody else's alike."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points


@cache
def registered(group: str) -> Mapping[str, EntryPoint]:
    """Entry points by name; looked up once a process, since it reads the metadata of every installed package."""
    return {point.name: point for point in entry_points(group=group)}
