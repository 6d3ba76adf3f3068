"""The formats of preference files by name: a pair of responses as rows of a training file.

Each is an entry point of `collab_sdk.preference_formats`, a `PreferenceFormat`.
"""

from typing import cast

from collab_sdk.logs.writers.base import PreferenceFormat
from collab_sdk.plugins import load, names


def preference_format_names() -> list[str]:
    return names("preference_formats")


def get_preference_format(name: str) -> PreferenceFormat:
    """The format of that name. Raises UnknownNameError listing them, UsageError for one that cannot be loaded."""
    return cast(PreferenceFormat, load("preference_formats", name))
