"""What a run reads, which nothing that it writes may replace."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from collab_sdk.errors import OutputError
from collab_sdk.files.names import PARTIAL, STDIN, database_of, family
from collab_sdk.files.sqlite import is_sqlite

Identity = tuple[int, int]
"""Device and inode: what `os.path.samefile` compares. Hard and symbolic links to a file have its identity."""


class Inputs:
    """The files and folders that a run reads, with what lies beside each file: sidecars, and SQLite's own files.

    `-` is stdin, where that is a file. What does not exist is left to whoever reads it.
    """

    def __init__(self, paths: Iterable[str | Path] = ()) -> None:
        paths = list(paths)
        self._files: dict[Identity, Path] = {}
        self._folders: dict[Identity, Path] = {}
        self._paths = [Path(path) for path in paths if str(path) != STDIN]
        for path in self._paths:
            self._add(path)
        if len(self._paths) < len(paths):
            self._add_stdin()

    def check(self, files: Iterable[Path] = (), *, folders: Iterable[Path] = (), in_place: Iterable[Path] = ()) -> None:
        """Raise OutputError if what is to be written falls on an input or on another output.

        `files` are replaced, so none may be an SQLite database; those `in_place` are databases that are added to.
        `folders` are filled, so no input may lie in one.
        """
        targets: dict[Identity | Path, Path] = {}
        for file in files:
            self._check_kind(file)
            # What is written is behind a link. Path.is_symlink raises for a name that is too long.
            through = _resolved(file) if os.path.islink(file) else file  # noqa: PTH114
            for target in dict.fromkeys([file, *(each.parent / (each.name + PARTIAL) for each in (file, through))]):
                self._check_file(target, targets)
        for file in set(in_place):
            self._check_file(file, targets)
        for folder in folders:
            self._check_folder(folder)

    def _add(self, path: Path) -> None:
        found = _status(path)
        if found is None:
            return
        if not stat.S_ISDIR(found.st_mode):
            self._add_file(path)
            return
        self._folders[_identity(found)] = path
        for file in path.rglob("*"):
            if _is_hidden(file.relative_to(path)):
                continue
            if (inside := _status(file)) is not None and not stat.S_ISDIR(inside.st_mode):
                self._files.setdefault(_identity(inside), file)

    def _add_file(self, path: Path) -> None:
        for file in family(path):
            if (found := _status(file)) is not None and stat.S_ISREG(found.st_mode):
                self._files.setdefault(_identity(found), file)

    def _add_stdin(self) -> None:
        with suppress(AttributeError, OSError, ValueError):  # closed, or replaced by something that is no file
            found = os.fstat(sys.stdin.fileno())
            if stat.S_ISREG(found.st_mode):
                self._files.setdefault(_identity(found), Path("stdin"))

    def _check_kind(self, target: Path) -> None:
        if is_sqlite(str(target)) or is_sqlite(str(database_of(target))):
            raise OutputError(
                f"{target} is a database, such as a conversation store, and would be replaced: write to another file."
            )

    def _check_file(self, target: Path, targets: dict[Identity | Path, Path]) -> None:
        found = _status(target)
        if found is not None and (read := self._files.get(_identity(found))) is not None:
            which = "" if read == target else f" ({read})"
            raise OutputError(f"{target} is an input of this run{which} and would be replaced: write to another file.")
        for folder in self._around(target):
            raise OutputError(
                f"{target} is in {folder}, a folder of inputs, so the next run would read it too: write elsewhere."
            )
        keys: list[Identity | Path] = [_resolved(target)]
        if found is not None:
            keys.append(_identity(found))
        for key in keys:
            if (other := targets.setdefault(key, target)) is not target:
                raise OutputError(f"{target} would be written twice (also as {other}): give each output its own file.")

    def _check_folder(self, target: Path) -> None:
        for folder in self._around(target, itself=True):
            place = "is" if target == folder else f"is in {folder},"
            raise OutputError(f"{target} {place} a folder of inputs: write to another folder.")
        found = _status(target)
        if found is None:
            return
        with suppress(OSError):
            inside = {_identity(entry) for path in target.iterdir() if (entry := _status(path)) is not None}
            read = [path for identity, path in (self._files | self._folders).items() if identity in inside]
            read += [path for path in self._paths if _identity(found) in _identities(_resolved(path).parents)]
            if read:
                raise OutputError(f"{read[0]} is an input of this run and lies in {target}: write to another folder.")

    def _around(self, target: Path, *, itself: bool = False) -> Iterator[Path]:
        """The folders of inputs that a target is in, by its own name or by what it leads to."""
        for path in (target.absolute(), _resolved(target)):
            above = [path, *path.parents] if itself else path.parents
            for folder in above:
                found = _status(folder)
                if found is None or (read := self._folders.get(_identity(found))) is None:
                    continue
                if not _is_hidden(path.relative_to(folder)):
                    yield read


def _is_hidden(path: Path) -> bool:
    """Whether a file of a folder is left out when the folder is read."""
    return any(part.startswith(".") for part in path.parts)


def _identities(paths: Iterable[Path]) -> Iterator[Identity]:
    return (_identity(found) for path in paths if (found := _status(path)) is not None)


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a loop, or no path at all; whoever opens it says so
        return path


NO_INPUTS = Inputs()
