"""What formats with a chat in each row share: the test and the function that make one, and the parts alike in all."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.blocks import tools_of
from collab_sdk.logs.formats.times import last_time
from collab_sdk.messages import Message, deeds_of, is_decision, link_tool_calls
from collab_sdk.types import Conversation, Goal

Row = Mapping[str, Any]
_LONGEST_PROBLEM = 200
LAST = 200
"""The priority of a format that does not say: after all of this package."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationFormat:
    """A log with a chat in each row.

    `read` raises InputError; an empty id in its conversation means that the row has none.
    """

    name: str
    """As `--log-format` has it."""
    known_by: str
    """The keys that it is known by, for people."""
    priority: int = LAST
    """Formats are tried from the lowest number up; those of this package have 10 to 110."""
    matches: Callable[[Row], bool]
    read: Callable[[Row], Conversation]


@contextmanager
def reported(format: str, where: str, report: Callable[[InputError], None]) -> Iterator[None]:
    """Report what reading a row raises, whatever it is: a mistake in a format costs that row alone."""
    try:
        yield
    except InputError as error:
        report(InputError(error.problem, where=where))
    except RecursionError:
        report(InputError("JSON nested too deeply", where=where))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        problem = f"{type(error).__name__}: {error}"[:_LONGEST_PROBLEM]
        report(InputError(f"the format {format} cannot read it ({problem})", where=where))


def to_conversation(row: Row, messages: tuple[Message, ...]) -> Conversation:
    """The messages, with whatever the row says about them. Raises InputError for an empty one."""
    if not messages:
        raise InputError("no messages")
    metadata = row.get("metadata")
    return Conversation(
        id=_id(row.get("id")),
        messages=link_tool_calls(messages),
        goal=_goal(row),
        tools=tools_of(row.get("tools") or row.get("functions")),
        metadata=metadata if isinstance(metadata, Mapping) else {},
        ended=last_time(row),
    )


def check_answered(conversation: Conversation) -> Conversation:
    """The conversation. Raises InputError where no assistant speaks in it."""
    if not any(message.role == "assistant" for message in conversation.messages):
        raise InputError("no assistant message")
    return conversation


def with_alternatives(conversation: Conversation, others: Mapping[int, Iterable[Sequence[Message]]]) -> Conversation:
    """The conversation with other responses to the same histories.

    They are given by the position of the message in whose place they begin, which may be in the middle of a turn: what
    the assistant did before it is then theirs too.
    """
    alternatives: dict[int, tuple[tuple[Message, ...], ...]] = {}
    for turn in conversation.turns() if others else ():
        messages = conversation.messages
        found = [
            (*(each for each in messages[len(turn.history) : place] if each.role != "system"), *other)
            for place in conversation.places(turn)
            for other in others.get(place, ())
            if any(map(is_decision, other))
        ]
        different = {deeds_of(other): other for other in reversed(found)}
        different.pop(deeds_of(turn.response), None)
        if different:
            alternatives[turn.index] = tuple(reversed(different.values()))
    return replace(conversation, alternatives=alternatives)


def text_fields(row: Row, *keys: str) -> dict[str, Any]:
    """Those of the row's fields that are text, numbers or a choice, for metadata."""
    return {key: row[key] for key in keys if isinstance(row.get(key), str | int | float | bool)}


def first_text(*values: Any) -> str | None:
    """The first value that is text, and not empty."""
    return next((value for value in values if isinstance(value, str) and value), None)


def _id(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"id must be text or a whole number, not {type(value).__name__}")


def _goal(row: Row) -> Goal | None:
    """The goal; with an empty text if the row has only a reference, so that GoalReader infers the rest."""
    goal: Any = row.get("goal")
    reference: Any = row.get("reference")
    if isinstance(goal, Mapping):
        goal, reference = goal.get("text"), goal.get("reference", reference)
    if not isinstance(goal, str | None):
        raise InputError(f"goal must be text, or an object with text and reference, not {type(goal).__name__}")
    if not isinstance(reference, str | None):
        raise InputError(f"reference must be text, not {type(reference).__name__}")
    text = goal if goal and goal.strip() else ""
    reference = reference if reference and reference.strip() else None
    return Goal(text=text, reference=reference) if text or reference else None
