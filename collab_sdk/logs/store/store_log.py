"""A store as one of the logs that are read."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from collab_sdk.errors import InputError, StoreError
from collab_sdk.logs.store import schema
from collab_sdk.logs.store.store import ConversationStore, Report
from collab_sdk.types import Conversation


def is_store(file: str) -> bool:
    """Whether a database calls itself a store; not for one that cannot be read at all."""
    try:
        with closing(sqlite3.connect(f"{Path(file).resolve().as_uri()}?mode=ro", uri=True)) as database:
            return schema.is_store(database)
    except sqlite3.Error:
        return False


def read_store(file: str, report: Report, notes: Counter[str]) -> Iterator[Conversation]:
    """The conversations of a store; what cannot be read is reported, what is no part of a chat counted."""
    try:
        with ConversationStore(file) as store:
            yield from store.conversations(on_error=report, notes=notes)
    except StoreError as error:
        report(InputError(str(error)))


def count_store(file: str) -> int | None:
    """None for a database that is no store, or a broken one."""
    if not is_store(file):
        return None
    try:
        with ConversationStore(file) as store:
            return len(store)
    except StoreError:
        return None
