"""SillyTavern's chats, `*.jsonl`: a row about the chat, then `{"name", "is_user", "mes", "swipes", "swipe_id"}`.

A file is a chat. Other swipes of a message of the character's are alternatives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.conversation_row import Row, first_text, to_conversation, with_alternatives
from collab_sdk.logs.formats.event_rows import EventFormat
from collab_sdk.logs.formats.json_fields import mapping, objects
from collab_sdk.logs.formats.trees import with_files
from collab_sdk.logs.notes import note
from collab_sdk.messages import Message
from collab_sdk.types import Conversation

HIDDEN = "messages that the model was not shown, left out"


def _matches(row: Row) -> bool:
    if "chat_metadata" in row:
        return "user_name" in row
    return isinstance(row.get("mes"), str) and isinstance(row.get("is_user"), bool) and "name" in row


def _read(rows: Sequence[Row]) -> Conversation | None:
    rows = [row for row in rows if _matches(row)]
    if not rows:
        raise InputError("no rows of a chat of SillyTavern: they have name, is_user and mes")
    messages: list[Message] = []
    others: dict[int, list[list[Message]]] = {}
    for row in rows:
        if "chat_metadata" in row:
            continue
        if row.get("is_system") is True:
            note(HIDDEN)
            continue
        messages += _message(row)
        if messages and not row["is_user"]:
            others[len(messages) - 1] = [[other] for other in _swipes(row)]
    if not messages:
        return None
    character = first_text(*(row.get("character_name") for row in rows))
    dates = [row["send_date"] for row in rows if row.get("send_date")]
    about = {"metadata": {"title": character} if character else {}, "ended": dates[-1] if dates else None}
    return with_alternatives(to_conversation(about, tuple(messages)), others)


def _message(row: Row) -> tuple[Message, ...]:
    extra = mapping(row.get("extra"))
    if not row["is_user"]:
        return (_reply(row["mes"], extra),)
    pictures = [*filter(None, [extra.get("image")]), *objects(extra.get("media"))]
    files = [*filter(None, [extra.get("file")]), *objects(extra.get("files"))]
    return with_files([Message(role="user", content=row["mes"])], ["image"] * len(pictures) + ["file"] * len(files))


def _reply(text: str, extra: Mapping[str, Any]) -> Message:
    return Message(role="assistant", content=text, reasoning=first_text(extra.get("reasoning")) or "")


def _swipes(row: Row) -> list[Message]:
    swipes, about = row.get("swipes"), row.get("swipe_info")
    if not isinstance(swipes, list):
        return []
    infos = [*(about if isinstance(about, list) else []), *[None] * len(swipes)]
    return [
        _reply(swipe, mapping(mapping(info).get("extra")))
        for number, (swipe, info) in enumerate(zip(swipes, infos, strict=False))
        if isinstance(swipe, str) and number != row.get("swipe_id")
    ]


SILLYTAVERN = EventFormat(
    name="sillytavern",
    priority=18,
    known_by="mes, is_user and name",
    matches=_matches,
    chat=lambda row: None,
    read=_read,
)
