"""What formats with a chat in each row share: the test and the function that make one, and the parts alike in all."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import parse_json
from collab_sdk.logs.formats.blocks import text_of_blocks
from collab_sdk.logs.formats.cells import yes_or_no
from collab_sdk.logs.formats.spellings import plain
from collab_sdk.logs.formats.times import last_time
from collab_sdk.logs.formats.tool_calls import tools_of
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, deeds_of, is_decision, link_tool_calls
from collab_sdk.personas import read_persona
from collab_sdk.types import UNTRAINED_TURNS, Conversation, Goal, Persona

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
    """Formats are tried from the lowest number up; those of this package have 10 to 180."""
    matches: Callable[[Row], bool]
    read: Callable[[Row], Conversation | None]
    """None where the row holds no chat, which is to be noted."""


IDS = (
    *("id", "conversation_id", "chat_id", "session_id", "thread_id", "dialogue_id", "dialog_id", "uuid"),
    *("conversation_uuid", "conv_id"),
)
"""Keys of a chat's id, the first that it has; the others are kept in its metadata."""
KEPT = (
    *("model", "model_name", "title", "rating", "user_rating", "score", "label", "feedback", "thumbs", "language"),
    *("source", "kto_tag"),
)
"""What else of a row goes into metadata, so that exports can be traced."""
_SYSTEM = ("system", "system_prompt", "system_message", "instructions", "system_instruction")

NO_VALUE = "values of {key} that are of no use, left out"
UNTRAINED = "replies that their log excludes from training: read, but never a response of a pair"


@contextmanager
def reported(format: str, where: str, report: Callable[[InputError], None]) -> Iterator[None]:
    """Report what reading a row raises, whatever it is: a mistake in the `read` of a format costs that row alone."""
    try:
        yield
    except InputError as error:
        report(InputError(error.problem, where=where))
    except RecursionError:
        report(InputError("JSON nested too deeply", where=where))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        problem = f"{type(error).__name__}: {error}"[:_LONGEST_PROBLEM]
        report(InputError(f"the format {format} cannot read it ({problem})", where=where))


def to_conversation(row: Row, messages: tuple[Message, ...], *, untrained: Collection[int] = ()) -> Conversation:
    """The messages, with whatever the row says about them: its system prompt, tools, goal, id and metadata.

    `untrained` are the places of messages that nothing is to be learnt from. Raises InputError for an empty chat.
    """
    if not messages:
        raise InputError("no messages")
    spelled = {plain(key): value for key, value in row.items() if value is not None}
    said = len(messages)
    messages = with_system(messages, *(spelled[key] for key in _SYSTEM if key in spelled))
    conversation = Conversation(
        id=next(filter(None, (_id(key, spelled[key]) for key in IDS if key in spelled)), ""),
        messages=link_tool_calls(messages),
        goal=_goal(row),
        tools=tools_of(row.get("tools") or row.get("functions")),
        metadata=_metadata(row, spelled),
        ended=last_time(row),
    )
    return _untrained(conversation, {place + len(messages) - said for place in untrained}, row)


def with_system(messages: tuple[Message, ...], *prompts: Any) -> tuple[Message, ...]:
    """The messages, with the first of the prompts that has words before them, unless they begin with it."""
    for prompt in prompts:
        if isinstance(prompt, Mapping):  # Gemini's: {"parts"} or {"text"}
            prompt = prompt.get("parts", prompt.get("text"))
        if isinstance(prompt, str | list | Mapping) and (text := text_of_blocks(prompt)).strip():
            known = messages[0].role == "system" and messages[0].content.strip() == text.strip()
            return messages if known else (Message(role="system", content=text), *messages)
    return messages


def _untrained(conversation: Conversation, places: Collection[int], row: Row) -> Conversation:
    """The conversation, noting which of its turns nothing is to be learnt from; the last, where the row is labelled."""
    is_labelled = _is_refused(row.get("label")) or yes_or_no(row.get("kto_tag")) is False
    if not places and not is_labelled:
        return conversation
    turns = list(conversation.turns())
    found = {turn.index for turn in turns if not set(places).isdisjoint(conversation.places(turn))}
    if turns and is_labelled:
        found.add(turns[-1].index)
    if not found:
        return conversation
    note(UNTRAINED, len(found))
    return replace(conversation, metadata={**conversation.metadata, UNTRAINED_TURNS: sorted(found)})


def _is_refused(label: Any) -> bool:
    """Whether a label is false, as JSON or as a table has it; 0 and no may be classes."""
    return label is False or (isinstance(label, str) and label.strip().lower() == "false")


def _metadata(row: Row, spelled: Mapping[str, Any]) -> dict[str, Any]:
    used = next((key for key in IDS if key in spelled), "id")
    names = {*KEPT, *IDS} - {used}
    kept = {key: row[key] for key in row if plain(key) in names and isinstance(row[key], str | int | float | bool)}
    if isinstance(row.get("feedback"), Mapping):
        kept["feedback"] = row["feedback"]
    given = row.get("metadata")
    if isinstance(given, str) and given.lstrip().startswith("{"):
        with suppress(InputError):
            given = parse_json(given)
    if isinstance(given, Mapping):
        return {**kept, **given}
    if given not in (None, ""):
        note(NO_VALUE.format(key="metadata"))
    return kept


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


def _id(key: str, value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # of a table with gaps
        value = int(value)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    note(NO_VALUE.format(key=key))
    return ""


def with_user(goal: Goal, row: Row) -> Goal:
    """The goal with the `persona` and the `script` of a row, where it has them. Raises InputError for what is none."""
    persona, script = _persona(row.get("persona")), _script(row.get("script"))
    return replace(goal, persona=persona or goal.persona, script=script or goal.script)


def _goal(row: Row) -> Goal | None:
    """The goal; with an empty text if the row has only the rest of one, so that GoalReader infers it.

    Raises InputError for a `persona` or a `script` that is none.
    """
    goal: Any = row.get("goal")
    reference: Any = row.get("reference")
    if isinstance(goal, Mapping):
        goal, reference = goal.get("text"), goal.get("reference", reference)
    text, reference = _words("goal", goal), _words("reference", reference)
    found = with_user(Goal(text=text, reference=reference or None), row)
    return found if found != Goal(text="") else None


def _persona(value: Any) -> Persona | None:
    """Who the user is: a Persona's fields, or a name of the library."""
    value = _unpacked(value, "{")
    if value in (None, ""):
        return None
    if not isinstance(value, str | Mapping):
        raise InputError("persona must be a name, or an object with a name")
    try:
        return read_persona(value)
    except ValueError as error:
        raise InputError(f"persona: {error}") from None


def _script(value: Any) -> tuple[str | None, ...]:
    """What the user says, turn by turn; null for a turn that is made up."""
    value = _unpacked(value, "[")
    if value in (None, ""):
        return ()
    if not isinstance(value, list) or not all(map(_is_said, value)):
        raise InputError("script must be a list of what the user says, with null for a turn that is made up")
    return tuple(value)


def _is_said(turn: Any) -> bool:
    return turn is None or (isinstance(turn, str) and bool(turn.strip()))


def _unpacked(value: Any, opening: str) -> Any:
    """A value, of a table's cell from its JSON text."""
    if not isinstance(value, str) or not value.lstrip().startswith(opening):
        return value
    try:
        return parse_json(value)
    except InputError:
        return value


def _words(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value if value.strip() else ""
    if value is not None:
        note(NO_VALUE.format(key=key))
    return ""
