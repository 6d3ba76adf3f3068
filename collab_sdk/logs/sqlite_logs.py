"""Logs that are SQLite databases: which one it is shows in its tables."""

from collections.abc import Callable, Iterator

from collab_sdk.errors import InputError
from collab_sdk.logs.formats.llm_logs import is_llm_database, read_llm_database
from collab_sdk.logs.store.store_log import is_store, read_store
from collab_sdk.types import Conversation


def read_sqlite(file: str, report: Callable[[InputError], None]) -> Iterator[Conversation]:
    """The conversations in a database of a known kind; for any other, one error."""
    try:
        if is_store(file):
            yield from read_store(file, report)
        elif is_llm_database(file):
            yield from read_llm_database(file, report)
        else:
            report(
                InputError(
                    "an SQLite database, but no chat log: expected a conversation store or llm's logs.db", where=file
                )
            )
    except InputError as error:
        report(error)
