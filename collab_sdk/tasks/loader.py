"""The rows of a task, from a file or from the Hugging Face hub."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError, MissingExtraError, UsageError
from collab_sdk.files import parse_json, to_json
from collab_sdk.logs import get_chat_writer, read_conversations
from collab_sdk.logs.formats.conversation_row import with_user
from collab_sdk.secrets import one_line
from collab_sdk.tasks.base import LeftOutError, Task
from collab_sdk.tasks.selection import Selection
from collab_sdk.types import Conversation

TABLES = {".csv": "csv", ".parquet": "parquet"}
ODD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
OnError = Callable[[InputError], None]


def load_task(
    task: Task, data: Path | None = None, *, split: str | None = None, on_error: OnError
) -> Iterator[Conversation]:
    """The conversations of a task, in order; rows that cannot be used are handed to `on_error` and left out.

    `data` is a file in the dataset's own schema: JSON lines, a JSON array or an object with it under `data`, CSV or
    Parquet. Without it the rows come from the hub, from the task's own split or from `split`. Raises UsageError or
    InputError if there are none to be had.
    """
    if split is not None and (data is not None or task.hub is None):
        where = f"the file {data}" if data else task.name
        raise UsageError(f"A split is one of a data set on the hub, and {where} has none: leave --split out.")
    if task.is_log:
        if data is None:
            raise UsageError(f"The task {task.name} is your own chats: give them with --data FILE.")
        return read_conversations([data], on_error=on_error)
    return _conversations(task, _file_rows(data, task) if data else _other_rows(task, split), on_error)


def rows_provenance(
    task: Task,
    conversations: Iterable[Conversation],
    *,
    data: Path | None = None,
    split: str | None = None,
    selection: Selection,
) -> dict[str, Any]:
    """What tells these rows of a task from others, as JSON values: where they come from, which were chosen, a digest.

    `data` and `split` are those of `load_task`. The digest is of what the chosen rows hold, so that two revisions of a
    data set differ too; the seed counts only for a shuffle.
    """
    chosen, digest, write = 0, hashlib.sha256(), get_chat_writer("collab")
    for conversation in conversations:
        digest.update(to_json(write(conversation)).encode("utf-8", "surrogatepass") + b"\n")
        chosen += 1
    if data is not None:
        with data.open("rb") as file:
            source = {"file": data.name, "file_sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    elif task.hub is not None:
        source = {"dataset": task.hub.dataset, "split": split or task.hub.split}
    else:
        source = {}
    return {
        "task": task.name,
        **source,
        **asdict(selection),
        "seed": selection.seed if selection.shuffle else None,
        "chosen": chosen,
        "sha256": digest.hexdigest(),
    }


def row_digest(conversation: Conversation) -> str:
    """The SHA-256 of what a conversation of this row is played by: all of it but its id and its metadata."""
    row = get_chat_writer("collab")(replace(conversation, id="", metadata={}))
    return hashlib.sha256(to_json(row).encode("utf-8", "surrogatepass")).hexdigest()


def no_rows(task: Task, data: Path | None, others: Iterable[Task] = ()) -> InputError:
    """What is wrong where no row can be used; says which of the `others` reads the file, if one does."""
    reads = f", which reads {task.fields}" if task.fields else ""
    meant = None if data is None or task.is_log else _task_of(data, [each for each in others if each.name != task.name])
    looks = f"; its rows look like those of {meant.name}" if meant else ""
    source = f". {task.source}".rstrip(".") if task.source else ""
    where = str(data or (task.hub.dataset if task.hub else task.name))
    return InputError(f"no row of it can be used for the task {task.name}{reads}{looks}{source}", where=where)


def _task_of(data: Path, tasks: Iterable[Task]) -> Task | None:
    """The first of the tasks that can use a row at the beginning of the file."""
    rows = [row for _, row in islice(_file_rows(data), 3) if isinstance(row, Mapping)]
    for task in tasks:
        for row in rows:
            with suppress(Exception):  # a row of another schema, read by anybody's code
                task.read(row)
                return task
    return None


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
        except LeftOutError as error:
            on_error(LeftOutError(error.problem, where=where))
            continue
        except InputError as error:
            on_error(InputError(error.problem, where=where))
            continue
        except ODD as error:  # a mistake in the `read` of a task costs that row alone
            on_error(InputError(f"the task {task.name} cannot read it ({one_line(repr(error), 200)})", where=where))
            continue
        conversation_id = _unique(conversation, taken)
        taken.add(conversation_id)
        yield replace(conversation, id=conversation_id)


def _unique(conversation: Conversation, taken: set[str]) -> str:
    """Its own id or one made from what it holds, so the same in every run; ids key the cache and pair the bots."""
    held = repr((conversation.messages, conversation.goal)).encode("utf-8", "surrogatepass")
    base = conversation.id or hashlib.sha256(held).hexdigest()[:12]
    return base if base not in taken else next(name for n in count(2) if (name := f"{base}-{n}") not in taken)


def _file_rows(path: Path, task: Task | None = None) -> Iterator[tuple[str, Any]]:
    try:
        if kind := TABLES.get(path.suffix.lower()):
            path.open("rb").close()
            yield from _numbered(str(path), _load(kind, data_files=str(path), split="train"))
            return
        text = path.read_bytes()
    except OSError as error:
        source = f". {task.source}".rstrip(".") if task and task.source else ""
        raise InputError(f"cannot be read: {error.strerror}{source}", where=str(path)) from None
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


def _other_rows(task: Task, split: str | None) -> Iterator[tuple[str, Any]]:
    if task.made is not None:
        return _numbered(task.name, task.made())
    source = f" {task.source}" if task.source else ""
    if task.hub is None:
        raise UsageError(f"The task {task.name} is on no hub: give its file with --data FILE.{source}")
    name = task.hub.dataset
    return _numbered(name, _load(name, source, split=split or task.hub.split, streaming=True))


def _load(name: str, source: str = "", **options: Any) -> Any:
    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingExtraError.of("Datasets need the library of that name", "evaluate") from None
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # it announces each of its retries; how they end is said here
    try:
        return load_dataset(name, **options)
    except Exception as error:  # whatever the network, the hub or a damaged file make it raise
        what = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"{name} cannot be loaded: {what}. If it is on disk, give it with --data FILE.{source}"
        ) from error
    finally:
        hub.setLevel(level)
