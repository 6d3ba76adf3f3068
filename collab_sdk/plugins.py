"""What is registered under an entry-point group: the project's own and everybody else's alike."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from collab_sdk.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

EXTRAS = {
    "collab_langchain": "langchain",
    "collab_litellm": "litellm",
    "collab_openai": "openai",
    "collab_postgres": "postgres",
    "collab_ray": "ray",
    "collab_redis": "redis",
    "collab_trl": "train",
}
"""The extra that brings what each of the project's plugins imports."""


@cache
def registered(group: str) -> "Mapping[str, EntryPoint]":
    """Entry points by name; looked up once a process, since it reads the metadata of every installed package."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=group)}


def load(group: str, name: str) -> Any:
    """The object that is registered as `name`, which must be one of `registered(group)`.

    Raises MissingExtraError where the plugin imports a package that its extra would bring, and UsageError where
    somebody else's plugin cannot be imported.
    """
    point = registered(group)[name]
    plugin = point.module.partition(".")[0]
    try:
        with needs_extra(plugin):
            return point.load()
    except (ImportError, AttributeError) as error:
        if plugin == "collab_sdk" or plugin in EXTRAS:
            raise
        raise UsageError(f"{name!r} of {group} cannot be loaded from {point.value}: {error}.") from error


@contextmanager
def needs_extra(plugin: str) -> Iterator[None]:
    """Raise MissingExtraError for a package that is not installed, where `plugin` is one of the project's own."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if plugin not in EXTRAS or missing.startswith("collab_"):
            raise
        raise MissingExtraError.of(f"{plugin} needs {missing}", EXTRAS[plugin]) from None
