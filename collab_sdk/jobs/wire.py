"""Errors as JSON values, for the way to another process and back."""

from collections.abc import Iterator, Sequence

from collab_sdk.errors import CollabError


def error_row(error: CollabError) -> list[str]:
    return [type(error).__name__, str(error)]


def error_of(row: Sequence[str]) -> CollabError:
    """The error with its type, as far as this version of the package has it, and its message."""
    return next((kind for kind in _kinds(CollabError) if kind.__name__ == row[0]), CollabError)(row[1])


def _kinds(base: type[CollabError]) -> Iterator[type[CollabError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)
