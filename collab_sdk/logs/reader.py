"""Logged chats as conversations, from any files, in any known format."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError, NotALogError
from collab_sdk.files import is_sqlite, parse_json
from collab_sdk.logs.formats.call_row import NO_CALL, CallFormat
from collab_sdk.logs.formats.conversation_row import ConversationFormat, check_answered, reported
from collab_sdk.logs.formats.databases import opened, tables_of
from collab_sdk.logs.formats.event_rows import EventFormat, GatheredEvents
from collab_sdk.logs.formats.gathered_calls import GatheredCalls
from collab_sdk.logs.formats.registry import LogFormat, entries, get_log_format, log_databases
from collab_sdk.logs.log_rows import Report, read_rows
from collab_sdk.logs.notes import noted, noting
from collab_sdk.logs.snapshots import GONE, SNAPSHOTS, Longest, asked, identity, longest_snapshots
from collab_sdk.logs.sources import log_files
from collab_sdk.logs.store.store_log import count_store, is_store, read_store
from collab_sdk.logs.unread import Unread
from collab_sdk.models.reasoning import conversation_without_reasoning
from collab_sdk.types import Conversation

REASONED = "replies with a model's reasoning, which was left out"
LONGEST = 10_000_000
"""Characters of a message; models take a tenth of that, and what is longer is no chat."""


class LoggedConversations(Iterator[Conversation]):
    """The conversations of some files, one after the other."""

    def __init__(self, files: Iterable[str], conversations: Generator[Conversation, None, None]) -> None:
        self.files = tuple(files)
        """Those that are read; an export of these conversations never replaces one."""
        self._conversations = conversations

    def __next__(self) -> Conversation:
        return next(self._conversations)

    def close(self) -> None:
        """Stop reading; temporary files go."""
        self._conversations.close()


def read_conversations(
    paths: Iterable[str | Path],
    *,
    format: str | None = None,
    unanswered: bool = False,
    limit: int | None = None,
    on_error: Callable[[InputError], None] | None = None,
    notes: Counter[str] | None = None,
) -> LoggedConversations:
    """The conversations in files, folders, archives and stdin (`-`); what a file is shows in its content.

    `format` reads every row as of that format, whatever it looks like. A chat in which no assistant speaks is a bad row
    unless `unanswered` ones are of use. With a `limit`, no more than so many are read, and older snapshots of a chat
    are known by what stands near the beginning of the files. A path that cannot be read raises InputError here, before
    anything is read. A bad row raises InputError when it is reached or, with `on_error`, is handed to it
    and skipped. What is left out without being an error is counted in `notes`, under its words. A row without an id
    gets one made from its messages. Conversations that are logged call by call come last, when all calls are known.
    """
    forced = get_log_format(format) if format else None
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    files = log_files(paths)
    notes = Counter() if notes is None else notes
    read = _read(paths, files, forced, on_error or _raise, notes, unanswered=unanswered, limit=limit)
    return LoggedConversations(files, read)


def count_conversations(
    paths: Iterable[str | Path], *, format: str | None = None, limit: int | None = None
) -> int | None:
    """How many rows `read_conversations` will come to, bad ones included; they are counted up to the `limit`.

    None where counting would use them up, and where rows are no conversations but calls or messages of them.
    """
    files = log_files(paths)
    forced = get_log_format(format) if format else None
    if not all(Path(file).is_file() for file in files):  # stdin, a pipe
        return None
    total = 0
    for file in files:
        if is_sqlite(file):
            stored = count_store(file)
            if stored is None:
                return None
            total += stored
            continue
        for number, (_, row) in enumerate(read_rows(file, _ignore)):
            if number == 0 and not _is_chat(row, forced):
                return None
            total += 1
            if total == limit:
                return total
    return total


def _read(
    paths: Iterable[object],
    files: Iterable[str],
    forced: LogFormat | None,
    report: Report,
    notes: Counter[str],
    *,
    unanswered: bool,
    limit: int | None,
) -> Generator[Conversation, None, None]:
    ids = _Ids(longest_snapshots(files, forced, limit=limit))
    count = 0
    for where, conversation in _found(paths, files, forced, report, notes):
        try:
            _check_length(conversation)
            if ids.is_older_snapshot(conversation):
                notes[SNAPSHOTS] += 1
                continue
            conversation = conversation_without_reasoning(conversation)
            if not unanswered:
                check_answered(conversation)
            conversation = ids.claim(conversation)
        except InputError as error:
            report(InputError(error.problem, where=where))
        except RecursionError:  # hashing the messages goes as deep as parsing them did
            report(InputError("JSON nested too deeply", where=where))
        else:
            if thoughts := sum(bool(message.reasoning) for message in conversation.messages):
                notes[REASONED] += thoughts
            yield conversation
            count += 1
            if count == limit:
                return
    for _ in range(ids.missing()):
        report(InputError(GONE))


def _found(
    paths: Iterable[object], files: Iterable[str], forced: LogFormat | None, report: Report, notes: Counter[str]
) -> Iterator[tuple[str, Conversation]]:
    """Every conversation with its place, before anything is known of the others."""
    unread = Unread(paths, report, notes)
    with closing(GatheredCalls()) as calls, closing(GatheredEvents()) as events:
        for file in files:
            if is_sqlite(file):
                for conversation in noted(_read_sqlite(file, unread.error, notes), notes):
                    unread.chat(file)
                    yield file, conversation
                continue
            for where, text in read_rows(file, unread.error):
                for place, found, row in _entries(text, where, forced, unread.error):
                    unread.chat(place)
                    read: Conversation | None = None
                    with noting(notes), reported(found.name, place, report):
                        if isinstance(found, CallFormat):
                            _gather(calls, found, row, place, report, notes)
                        elif isinstance(found, EventFormat):
                            events.add(found, row, where=place)
                        else:
                            read = found.read(row)
                    if read:
                        yield place, read
        unread.close()
        yield from events.conversations(report, notes)
        for conversation in noted(calls.conversations(report, notes), notes):
            yield conversation.id, conversation


def _entries(
    text: bytes, where: str, forced: LogFormat | None, report: Report
) -> Iterator[tuple[str, LogFormat, Mapping[str, Any]]]:
    """The rows that a value of a file holds, each with its place and format."""
    try:
        found = list(entries(parse_json(text, lenient=True), forced))
    except InputError as error:
        report(type(error)(error.problem, where=where))
    except RecursionError:
        report(InputError("JSON nested too deeply", where=where))
    else:
        for number, (known, row) in enumerate(found, start=1):
            yield where if len(found) == 1 else f"{where}, entry {number}", known, row


def _read_sqlite(file: str, report: Report, notes: Counter[str]) -> Iterator[Conversation]:
    """The conversations in a database of a known kind; for any other, one error."""
    try:
        if is_store(file):
            yield from read_store(file, report, notes)
            return
        with opened(file) as database:
            tables = tables_of(database)
            known = next((format for format in log_databases() if format.matches(tables)), None)
            if known is None:
                names = ", ".join(f"{format.name} ({format.known_by})" for format in log_databases())
                raise NotALogError(
                    f"an SQLite database, but no chat log: expected a conversation store, or {names}", where=file
                )
            with reported(known.name, file, report):
                yield from known.read(database, file, report)
    except InputError as error:
        report(error)
    except sqlite3.Error as error:
        report(InputError(f"cannot be read from here on: {error}", where=file))


def _gather(
    calls: GatheredCalls, found: CallFormat, row: Mapping[str, Any], where: str, report: Report, notes: Counter[str]
) -> None:
    wrapped = found.unwrapped(row)
    for number, entry in enumerate(wrapped, start=1):
        place = where if len(wrapped) == 1 else f"{where}, entry {number}"
        with reported(found.name, place, report):
            if call := found.read(entry):
                calls.add(call, where=place)
            else:
                notes[NO_CALL] += 1


def _check_length(conversation: Conversation) -> None:
    for position, message in enumerate(conversation.messages, start=1):
        if len(message.content) > LONGEST:
            raise InputError(
                f"message {position} has {len(message.content):,} characters; at most {LONGEST:,} are read"
            )


def _is_chat(text: bytes, forced: LogFormat | None) -> bool:
    """Whether a value of a file is the row of a chat, so that chats can be counted without reading them."""
    try:
        found = list(entries(parse_json(text, lenient=True), forced))
    except (InputError, RecursionError):
        return True
    return len(found) == 1 and isinstance(found[0][0], ConversationFormat)


def _raise(error: InputError) -> None:
    raise error


def _ignore(error: InputError) -> None:
    pass


class _Ids:
    """Sees to it that no two conversations share an id, as ids key the cache and the train/eval split."""

    def __init__(self, longest: Mapping[int, Longest]) -> None:
        self._uses: Counter[str] = Counter()
        self._longest = longest
        self._left_out: set[int] = set()
        self._read: set[int] = set()

    def is_older_snapshot(self, conversation: Conversation) -> bool:
        """Whether a longer snapshot of the same chat has come or is to come."""
        chat, said = identity(conversation), asked(conversation)
        longest = self._longest.get(chat) if conversation.id else None
        if longest is None or said != longest.asked[: len(said)]:
            return False
        if len(conversation.messages) < longest.length or chat in self._read:
            self._left_out.add(chat)
            return True
        self._read.add(chat)
        return False

    def missing(self) -> int:
        """How many chats were left out for a longer snapshot that never came."""
        return len(self._left_out - self._read)

    def claim(self, conversation: Conversation) -> Conversation:
        """The conversation under an id of its own. Raises InputError if its row names one that is taken."""
        if not conversation.id:
            conversation = replace(conversation, id=self._derive(conversation))
        elif conversation.id in self._uses:
            raise InputError(f"duplicate id {conversation.id!r}; an earlier chat has it")
        self._uses[conversation.id] += 1
        return conversation

    def _derive(self, conversation: Conversation) -> str:
        """A hash of the messages, so stable from run to run; the same chat logged twice is two conversations."""
        messages = [message.to_dict() for message in conversation.messages]
        canonical = json.dumps(messages, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        base = candidate = f"chat-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"
        while candidate in self._uses:
            self._uses[base] += 1
            candidate = f"{base}-{self._uses[base]}"
        return candidate
