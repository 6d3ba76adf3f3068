"""The logs.db of simonw/llm: `responses` by conversation, and since 0.32 `threads` of a message tree."""

import sqlite3
from collections.abc import Iterator, Set

from collab_sdk.logs.formats.databases import DatabaseFormat, Report, tables_of
from collab_sdk.logs.formats.llm_responses import read_responses
from collab_sdk.logs.formats.llm_threads import read_threads
from collab_sdk.types import Conversation

_OLD, _NEW = {"responses", "conversations"}, {"threads", "turns", "messages", "parts"}


def _matches(tables: Set[str]) -> bool:
    return tables >= _OLD or tables >= _NEW


def _read(database: sqlite3.Connection, file: str, report: Report) -> Iterator[Conversation]:
    """Its conversations, each once: one that was begun in the old tables and went on in the new is whole in those."""
    tables = tables_of(database)
    if tables >= _NEW:
        yield from read_threads(database, file, report)
    if tables >= _OLD:

        def known(name: str) -> bool:
            return tables >= _NEW and _has_thread(database, name)

        yield from read_responses(database, file, report, tables=tables, known=known)


def _has_thread(database: sqlite3.Connection, name: str) -> bool:
    return database.execute("SELECT 1 FROM threads WHERE id = ?", [name]).fetchone() is not None


LLM = DatabaseFormat(name="llm", known_by="responses, or threads and parts", matches=_matches, read=_read)
