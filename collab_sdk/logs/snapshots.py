"""Several snapshots of one chat in the same logs, as apps write that log a chat after each turn, or export it twice."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.files import is_sqlite, parse_json
from collab_sdk.logs.formats.chat_value import id_of
from collab_sdk.logs.formats.conversation_row import IDS, ConversationFormat, reported
from collab_sdk.logs.formats.registry import LogFormat, entries
from collab_sdk.logs.log_rows import read_rows
from collab_sdk.types import Conversation

SNAPSHOTS = "older snapshots of chats that are there again, left out"
LOOKED_AT = 10_000
GONE = (
    "the longest version of a chat could not be read again, and its shorter ones were left out: "
    "its file has changed, or it is too long"
)

Asked = tuple[int, ...]
"""Hashes of what the user said in a chat, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Longest:
    """Of the snapshots of a chat the one with the most messages."""

    length: int
    asked: Asked


def longest_snapshots(files: Iterable[str], forced: LogFormat | None, *, limit: int | None) -> dict[int, Longest]:
    """The longest, by the `identity` of each chat that is there more than once.

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
    longest: dict[int, Longest] = {}
    for found, row in islice(_chats(files, forced), most) if repeated else ():
        if _name(row) not in repeated:
            continue
        conversation = None
        with reported(found.name, "", lambda _: None):  # it is reported when it is reached
            conversation = found.read(row)
        if conversation is not None and conversation.id:
            chat = identity(conversation)
            times[chat] += 1
            length = len(conversation.messages)
            if chat not in longest or length > longest[chat].length:
                longest[chat] = Longest(length=length, asked=asked(conversation))
    return {chat: one for chat, one in longest.items() if times[chat] > 1}


def identity(conversation: Conversation) -> int:
    """A hash of what two snapshots of one chat have in common: its id, and what the user said first."""
    return hash((conversation.id, asked(conversation)[:1]))


def asked(conversation: Conversation) -> Asked:
    return tuple(hash(message.content) for message in conversation.messages if message.role == "user")


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
    given = id_of(row, IDS)
    return None if given is None else hash(given)
