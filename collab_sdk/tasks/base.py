"""What a task is: where its rows come from, what a row means, and what counts in the end."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.types import Conversation

Row = Mapping[str, Any]


class LeftOutError(InputError):
    """A row that is as it should be, and that the task leaves out by a rule, such as its length: no failure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hub:
    """A split of a Hugging Face dataset."""

    dataset: str
    split: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A benchmark. `read` makes of one row the start of a conversation; it raises InputError for a row it cannot use,
    and LeftOutError for one that it leaves out by a rule.

    The conversation holds what was said before the bot's first answer, most often nothing: then the simulated user
    begins. Its goal is the brief, which that user alone sees, and the reference, which only the metric sees.
    """

    name: str
    metric: str | None
    """The name of the task metric; None where the bot's first answer is all that counts."""
    read: Callable[[Row], Conversation]
    hub: Hub | None = None
    made: Callable[[], Iterator[Row]] | None = None
    """Rows that the project makes itself. With neither, they have to be in a file."""
    exchanges: int = 8
    """At most, by default."""
    needs_brief: bool = False
    """Whether the goal's text has still to be written, as a summary of its reference."""
    is_log: bool = False
    """Whether files hold logged chats, in any known format, of which only the goals are taken."""
    kinds: str = ""
    """What a limit takes equally many of: a key of the conversations' metadata, such as `ambiguous`. Empty: nothing."""
    fields: str = ""
    """The fields of a row that are read, for people."""
    source: str = ""
    """Where the data set is published, and under which licence, in a sentence."""


def first_text(row: Row, *names: str) -> str:
    """The first of these fields that holds text. Raises InputError if none does."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value
    raise InputError(f"no {' or '.join(repr(name) for name in names)} in it")
