"""The names of the files that belong to another file."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from collab_sdk.errors import closest, did_you_mean

STDIN = "-"
PARTIAL = ".partial"
"""Ends the name of a file still being written; such files in a folder are not read."""
PARTS = ("turns", "eval")
"""What an export writes beside the pairs."""
MOST_NAMES = 2_000
"""How many names of a folder are looked at for one that may be meant."""
_OF_SQLITE = ("-wal", "-shm", "-journal")


def beside(path: Path, what: str) -> Path:
    """`NAME.what.jsonl` for `NAME.jsonl`."""
    return path.with_name(f"{path.name.removesuffix('.jsonl')}.{what}.jsonl")


def run_path(target: Path) -> Path:
    """`NAME.run.json` for `NAME.jsonl`."""
    return target.with_name(f"{target.name.removesuffix('.jsonl')}.run.json")


def export_files(pairs: Path) -> list[Path]:
    """The pairs and every file that an export may write beside them."""
    return [pairs, *(beside(pairs, part) for part in PARTS), run_path(pairs)]


def file_meant(path: Path | str) -> str:
    """`; did you mean 'chats.jsonl'?` for a path that is not there, or nothing where no name beside it is close."""
    wanted = Path(path)
    try:
        names = [each.name for each in islice(wanted.parent.iterdir(), MOST_NAMES)]
    except (OSError, ValueError):
        return ""
    close = closest(wanted.name, names)
    return did_you_mean(None if close is None else str(wanted.with_name(close)), after="; ")


def database_files(path: Path) -> list[Path]:
    """An SQLite file and those that SQLite keeps beside it."""
    return [path, *(path.with_name(path.name + ending) for ending in _OF_SQLITE)]


def database_of(path: Path) -> Path:
    """The SQLite file that a file with such a name would belong to; `path` itself if it has another name."""
    for ending in _OF_SQLITE:
        if path.name.endswith(ending) and path.name != ending:
            return path.with_name(path.name.removesuffix(ending))
    return path


def family(path: Path) -> Iterator[Path]:
    """A file that is read, and what may lie beside it: the files of its export and of SQLite."""
    yield path
    yield from database_files(path)[1:]
    for part in PARTS:
        if path.name.endswith(f".{part}.jsonl"):
            path = path.with_name(path.name.removesuffix(f".{part}.jsonl") + ".jsonl")
            yield path
    yield from export_files(path)[1:]
