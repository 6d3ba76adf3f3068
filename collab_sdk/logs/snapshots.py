"""Several snapshots of one chat in the same logs, as apps write that log a chat after each turn, or export it twice."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import is_sqlite, parse_json
from collab_sdk.logs.formats.conversation_row import ConversationFormat, reported
from collab_sdk.logs.formats.registry import LogFormat, entries
from collab_sdk.logs.log_rows import read_rows
from collab_sdk.types import Conversation

SNAPSHOTS = "older snapshots of chats that are there again, left out"
LOOKED_AT = 10_000
_IDS = ("id", "conversation_id", "conversationId", "chat_id", "session_id", "thread_id", "uuid")


def longest_snapshots(files: Iterable[str], forced: LogFormat | None, *, limit: int | None) -> dict[int, int]:
    """How many messages the longest has, by the `identity` of each chat that is there more than once.

    Empty for files that can be read only once. Where no more than `limit` chats are wanted, those near the beginning
    are looked at, `LOOKED_AT` at least. All rows are parsed for it once more, and chats are read where ids repeat.
    """
    files = [file for file in files if not is_sqlite(file)]
    if not all(Path(file).is_file() for file in files):
        return {}
    most = None if limit is None else max(limit, LOOKED_AT)
    rows = islice(_chats(files, forced), most)
    seen: Counter[int] = Counter(name for _, row in rows if (name := _name(row)) is not None)
    repeated = {name for name, times in seen.items() if times > 1}
    seen.clear()
    times: Counter[int] = Counter()
    longest: dict[int, int] = {}
    for found, row in islice(_chats(files, forced), most) if repeated else ():
        if _name(row) not in repeated:
            continue
        conversation = None
        with reported(found.name, "", lambda _: None):  # it is reported when it is reached
            conversation = found.read(row)
        if conversation is not None and conversation.id:
            chat = identity(conversation)
            times[chat] += 1
            longest[chat] = max(longest.get(chat, 0), len(conversation.messages))
    return {chat: length for chat, length in longest.items() if times[chat] > 1}


def identity(conversation: Conversation) -> int:
    """A hash of what two snapshots of one chat have in common: its id, and what the user said first."""
    opening = next((message.content for message in conversation.messages if message.role == "user"), "")
    return hash((conversation.id, opening))


def _chats(files: Iterable[str], forced: LogFormat | None) -> Iterator[tuple[ConversationFormat, Mapping[str, Any]]]:
    for file in files:
        for _, text in read_rows(file, lambda _: None):
            try:
                found = list(entries(parse_json(text, lenient=True), forced))
            except (InputError, RecursionError):
                continue
            yield from ((known, row) for known, row in found if isinstance(known, ConversationFormat))


def _name(row: Mapping[str, Any]) -> int | None:
    """A hash of the id that the row has, whatever its format calls it."""
    given = next((row[key] for key in _IDS if isinstance(row.get(key), str | int) and row[key] != ""), None)
    return None if given is None else hash(str(given))
