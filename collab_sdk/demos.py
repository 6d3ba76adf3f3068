"""What a plugin's demo shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from collab_sdk.messages import Message

__all__ = ["Demo", "Shown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What there is to see in the end."""

    figures: Mapping[str, Mapping[str, float]]
    """By model, in the order in which they were made, then by name."""
    conversations: Mapping[str, tuple[Message, ...]]
    """The same user with each of these models."""
    picture: Path
    pairs: Path
    """Preference pairs that it trained on, with the details of every turn beside them, for a report."""
    note: str
    """What the figures are of."""


class Demo(Protocol):
    """What an entry point of the group `collab_sdk.demos` names."""

    def __call__(self, folder: Path, *, on_stage: Callable[[str], None]) -> Shown:
        """Do it, with files in `folder`; `on_stage` is told what is done next. Raises CollabError."""
        ...
