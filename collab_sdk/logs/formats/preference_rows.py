"""Preference rows read as chats: the chosen response is what was said, the rejected one an alternative to it.

One reader for the rows of every preference writer, and for what others write in these forms: TRL's, with messages, text
or JSON text; OpenAI's; LLaMA-Factory's in both of its forms; Orca's; Axolotl's; and the transcripts of HH.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.cells import number_of, yes_or_no
from collab_sdk.logs.formats.chat_value import read_chat, said_under_keys, written_value
from collab_sdk.logs.formats.conversation_row import (
    ConversationFormat,
    Row,
    text_fields,
    to_conversation,
    with_alternatives,
    with_system,
)
from collab_sdk.logs.formats.logged_messages import message_of
from collab_sdk.logs.formats.transcripts import transcript
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message, link_tool_calls
from collab_sdk.tool_calls import field_of
from collab_sdk.types import Conversation

_SIDES = (("chosen", "rejected"), ("preferred_output", "non_preferred_output"), ("completion", None))
_KEPT = ("conversation_id", "turn", "score_chosen", "score_rejected", "label", "kto_tag", "source", "model", "margin")
_HISTORIES = ("conversations", "messages", "conversation", "context", "contents")
IS_MESSAGES = re.compile(r"""\s*+\[?\s*+\{\s*(["'])(?:role|content|from|value)\1\s*:""")
"""Text that is messages, as JSON or as Python shows them: never what anybody said."""

EARLIER = ("history", "chat_history", "message_history", "conversation_history")
"""Keys of the messages before an exchange."""

NO_HISTORY = "histories of an exchange that are not a list of messages, left out"
NO_PAIR = "rejected responses that do not answer the same messages, left out"


def _matches(row: Row) -> bool:
    return _sides_of(row) is not None


def _sides_of(row: Row) -> tuple[str, str | None] | None:
    """The keys of the sides, one of which is there: tables have nulls in the columns that a row does not use."""
    for better, worse in _SIDES:
        there = (better, worse) if worse else (better,)
        if (worse or "prompt") in row and better in row and any(row[key] is not None for key in there):
            return better, worse
    return None


def _read(row: Row) -> Conversation:
    better, worse = _sides_of(row) or _SIDES[0]
    if row.get(better) in (None, "", []):
        raise InputError(f"{better} is missing: there is no response")
    history = history_of(row)
    chosen = side(row, row.get(better), history)
    rejected = [side(row, one, history) for one in _responses(row.get(worse))] if worse else []
    label = row.get("label")
    about = {
        "id": _id(row),
        "tools": _tools(row),
        "metadata": text_fields(row, *_KEPT),
        "kto_tag": row.get("kto_tag"),
        "label": yes_or_no(label) if better == "completion" else label,
    }
    try:
        return compared(about, chosen, rejected)
    except InputError as error:
        raise InputError(f"{better} and {worse} {error.problem}" if worse else error.problem) from None


def _responses(value: Any) -> list[Any]:
    """The responses of a side: several where it is a list of texts, else itself."""
    several = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return [one for one in (value if several else [value]) if one]


def compared(about: Row, chosen: tuple[Message, ...], others: Sequence[tuple[Message, ...]]) -> Conversation:
    """The chat of the chosen side, with what the others say where they part from it as alternatives.

    All sides are whole conversations. One that parts from it where the user speaks has no response to the same
    messages, which is counted. Raises InputError where a side does not even begin with the same request.
    """
    conversation = to_conversation(about, chosen)
    before = len(conversation.messages) - len(chosen)  # a system prompt
    found: dict[int, list[tuple[Message, ...]]] = {}
    for other in others:
        shared = repeated_prompt(chosen, other)
        if not shared:
            raise InputError("are not responses to the same messages")
        linked = link_tool_calls(other)[shared:]
        response = tuple(takewhile(lambda message: message.role != "user", linked))
        if response == tuple(takewhile(lambda message: message.role != "user", chosen[shared:])):
            note(NO_PAIR)
        found.setdefault(before + shared, []).append(response)
    return with_alternatives(conversation, found)


def repeated_prompt(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many messages two sides begin with as their prompt, up to where the assistant goes on in different ways.

    There are none where no user message is among them.
    """
    shared = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))
    # What both go on with is the assistant's: not a result of a call that they share.
    while shared and not all(side[shared:] and _role(side[shared]) == "assistant" for side in (one, other)):
        shared -= 1
    return shared if any(_role(message) == "user" for message in one[:shared]) else 0


def margin_of(row: Row) -> float | None:
    """How far chosen is above rejected: as the row says it, or else the difference of its scores.

    A row says it shrunk to what another draw would show. None without numbers; true and false are none.
    """
    margin, chosen, rejected = (number_of(row.get(name)) for name in ("margin", "score_chosen", "score_rejected"))
    if margin is None and chosen is not None and rejected is not None:
        return chosen - rejected
    return margin


def _role(message: Any) -> Any:
    return field_of(message, "role")


def history_of(row: Row) -> tuple[Message, ...]:
    """The messages before the responses, in whichever columns they are; none if the responses repeat them."""
    request = row.get("input")
    if isinstance(request, Mapping):
        return read_chat(request.get("messages"))
    prompt = row.get("prompt")
    given = [prompt] if prompt else [row[key] for key in _HISTORIES if row.get(key)]
    for value in given:
        messages = _written(value) if isinstance(value, str) else value
        if isinstance(messages, list | Mapping):
            return _with_system(row, read_chat(messages))
    before = earlier_messages(row)
    for asked in (one for one in said_under_keys(row) if one["role"] == "user"):
        messages = _written(asked["content"]) if isinstance(asked["content"], str) else None
        return _with_system(row, (*before, *read_chat([asked] if messages is None else messages)))
    return ()


def earlier_messages(row: Row) -> tuple[Message, ...]:
    """The messages before an exchange that has a row to itself. Text is read where it is a list."""
    earlier = next((row[key] for key in EARLIER if row.get(key)), None)
    if isinstance(earlier, list) or (isinstance(earlier, str) and earlier.lstrip().startswith("[")):
        return read_chat(earlier)
    note(NO_HISTORY, int(earlier is not None))
    return ()


def _with_system(row: Row, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return with_system(messages, row.get("system"), row.get("system_prompt"))


def side(row: Row, value: Any, history: tuple[Message, ...]) -> tuple[Message, ...]:
    """A side as a whole conversation: messages, a single one in any spelling, or text, which may hold messages."""
    if isinstance(value, str):
        written = _written(value)
        # Beside a prompt that is a transcript, it is the end of one.
        value = value if transcript(row.get("prompt")) is None else value.strip()
        said = (Message(role="assistant", content=value),) if written is None else read_chat(written)
    elif isinstance(value, Mapping):
        said = message_of(value)
    else:
        said = read_chat(value)
    if not said:
        raise InputError("a response is missing")
    own = next((place for place, message in enumerate(said) if message.role == "assistant"), len(said))
    asked, asked_before = _asked(said), _asked(history)
    greeted = bool(asked_before) and asked[: len(asked_before)] == asked_before
    if greeted or any(message.role == "user" for message in said[:own]):  # it repeats the prompt
        return _with_system(row, said)
    return (*history, *said)


def _asked(messages: Iterable[Message]) -> list[str]:
    return [message.content for message in messages if message.role == "user"]


def _written(text: str) -> Any:
    """The messages that a text holds, as JSON or as a transcript; None for words. Raises InputError for broken JSON."""
    if IS_MESSAGES.match(text):
        return written_value(text)
    return transcript(text)


def _tools(row: Row) -> Any:
    request = row.get("input")
    return request.get("tools") if isinstance(request, Mapping) else row.get("tools")


def _id(row: Row) -> Any:
    """The turn's; none for labelled responses, of which a turn has two."""
    if "label" in row:
        return None
    known = text_fields(row, "conversation_id", "turn")
    return f"{known['conversation_id']}#{known['turn']}" if len(known) == 2 else row.get("id")


PREFERENCES = ConversationFormat(
    name="preferences",
    priority=10,
    known_by="chosen and rejected",
    matches=_matches,
    read=_read,
)
