"""The formats of preference files by name: a pair of responses as rows of a training file.

Each is an entry point of `collab_sdk.preference_formats`, a `PreferenceFormat`.
"""

from typing import cast

from collab_sdk.errors import UnknownNameError, UsageError
from collab_sdk.logs.writers.base import PreferenceFormat
from collab_sdk.plugins import registered

PLUGIN_GROUP = "collab_sdk.preference_formats"


def preference_format_names() -> list[str]:
    return sorted(registered(PLUGIN_GROUP))


def get_preference_format(name: str) -> PreferenceFormat:
    """The format of that name. Raises UnknownNameError listing them, UsageError for one that cannot be loaded."""
    point = registered(PLUGIN_GROUP).get(name)
    if point is None:
        raise UnknownNameError.of("preference format", name, preference_format_names())
    try:
        return cast(PreferenceFormat, point.load())
    except Exception as error:  # whatever somebody else's module raises
        raise UsageError(f"The preference format {name!r} cannot be loaded from {point.value}: {error}.") from error
