"""Logged chats as conversations, from any files, in any known format."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from collab_sdk.errors import InputError
from collab_sdk.logs.formats import read_row
from collab_sdk.logs.json_text import parse_json
from collab_sdk.logs.rows import Report, read_rows
from collab_sdk.logs.sources import log_files
from collab_sdk.types import Conversation


def read_conversations(
    paths: Iterable[str | Path], *, on_error: Callable[[InputError], None] | None = None
) -> Iterator[Conversation]:
    """The conversations in files, folders and stdin (`-`), gzipped or not; what a file is shows in its content.

    A path that cannot be read raises InputError here, before anything is read. A bad row raises InputError when it is
    reached or, with `on_error`, is handed to it and skipped. A row without an id gets one made from its messages.
    """
    return _read(log_files(paths), on_error or _raise)


def count_conversations(paths: Iterable[str | Path]) -> int | None:
    """How many rows `read_conversations` will come to, bad ones included; None where counting would use them up."""
    files = log_files(paths)
    if not all(Path(file).is_file() for file in files):  # stdin or a pipe
        return None
    return sum(1 for file in files for _ in read_rows(file, _ignore))


def _read(files: Iterable[str], report: Report) -> Iterator[Conversation]:
    ids = _Ids()
    for file in files:
        for where, row in read_rows(file, report):
            try:
                conversation = read_row(parse_json(row) if isinstance(row, bytes) else row)
                conversation = ids.claim(conversation)
            except InputError as error:
                report(InputError(error.problem, where=where))
            except RecursionError:  # hashing the messages goes as deep as parsing them did
                report(InputError("JSON nested too deeply", where=where))
            else:
                yield conversation


class _Ids:
    """Sees to it that no two conversations share an id, as ids key the cache and the train/eval split."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()

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


def _raise(error: InputError) -> None:
    raise error


def _ignore(error: InputError) -> None:
    pass
