"""The rows of a task, from a file or from the Hugging Face hub."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError, MissingExtraError, UsageError
from collab_sdk.files import parse_json
from collab_sdk.logs import read_conversations
from collab_sdk.logs.formats.conversation_row import with_user
from collab_sdk.tasks.base import Task
from collab_sdk.types import Conversation

TABLES = {".csv": "csv", ".parquet": "parquet"}
OnError = Callable[[InputError], None]


def load_task(task: Task, data: Path | None = None, *, on_error: OnError) -> Iterator[Conversation]:
    """The conversations of a task, in order; rows that cannot be used are handed to `on_error` and left out.

    `data` is a file in the dataset's own schema: JSON lines, a JSON array or an object with it under `data`, CSV or
    Parquet. Without it the rows come from the hub. Raises UsageError or InputError if there are none to be had.
    """
    if task.is_log:
        if data is None:
            raise UsageError(f"The task {task.name} is your own chats: give them with --data FILE.")
        return read_conversations([data], on_error=on_error)
    return _conversations(task, _file_rows(data) if data else _other_rows(task), on_error)


def _conversations(task: Task, rows: Iterator[tuple[str, Any]], on_error: OnError) -> Iterator[Conversation]:
    taken: set[str] = set()
    for where, row in rows:
        try:
            if isinstance(row, InputError):
                raise row
            if not isinstance(row, Mapping):
                raise InputError("expected an object")
            conversation = task.read(row)
            if conversation.goal is not None:
                conversation = replace(conversation, goal=with_user(conversation.goal, row))
        except InputError as error:
            on_error(InputError(error.problem, where=where))
            continue
        conversation_id = _unique(conversation, taken)
        taken.add(conversation_id)
        yield replace(conversation, id=conversation_id)


def _unique(conversation: Conversation, taken: set[str]) -> str:
    """Its own id or one made from what it holds, so the same in every run; ids key the cache and pair the bots."""
    held = repr((conversation.messages, conversation.goal)).encode("utf-8", "surrogatepass")
    base = conversation.id or hashlib.sha256(held).hexdigest()[:12]
    return base if base not in taken else next(name for n in count(2) if (name := f"{base}-{n}") not in taken)


def _file_rows(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        if kind := TABLES.get(path.suffix.lower()):
            path.open("rb").close()
            yield from _numbered(str(path), _load(kind, data_files=str(path), split="train"))
            return
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    try:
        document = parse_json(text)
    except InputError:  # JSON lines, then
        yield from _lines(str(path), text)
        return
    rows = document.get("data", document) if isinstance(document, Mapping) else document
    yield from _numbered(str(path), rows if isinstance(rows, list) else [rows])


def _lines(name: str, text: bytes) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                row = parse_json(line)
            except InputError as error:
                row = error
            yield f"{name}:{number}", row


def _numbered(name: str, rows: Any) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(rows, start=1):
        yield f"{name}, row {number}", row


def _other_rows(task: Task) -> Iterator[tuple[str, Any]]:
    if task.made is not None:
        return _numbered(task.name, task.made())
    if task.hub is None:
        raise UsageError(f"The task {task.name} is on no hub: give its file with --data FILE.")
    return _numbered(task.hub.dataset, _load(task.hub.dataset, split=task.hub.split, streaming=True))


def _load(name: str, **options: Any) -> Any:
    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingExtraError.of("Datasets need the library of that name", "evaluate") from None
    try:
        return load_dataset(name, **options)
    except Exception as error:  # whatever the network, the hub or a damaged file make it raise
        what = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"{name} cannot be had: {what}. Where it is on disk, give it with --data FILE.") from error
