"""Options that name files: which ones a command reads, which ones it writes, and that the two stay apart."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from collab_cli.terminal import printable
from collab_sdk.errors import OutputError
from collab_sdk.files import STDIN, Inputs, file_meant

_READ, _WRITTEN = "collab.read", "collab.written"

FilesOf = Callable[[Path], Iterable[Path]]


class ReadPath(click.Path):
    """A file or folder that the command reads."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            path = super().convert(value, param, ctx)
        except click.BadParameter as error:
            name = os.fsdecode(value)
            meant = "" if os.path.lexists(name) else file_meant(name)
            raise click.BadParameter(f"{error.message.rstrip('.')}{meant or '.'}", error.ctx, error.param) from None
        note_read(ctx, os.fsdecode(path))
        return path


class WrittenPath(click.Path):
    """Where the command writes; exactly one of these says what.

    `files` are those that are replaced, with all that is written beside them. `in_place` are those of a database that
    is added to. With `folder`, any file in it may be written.
    """

    def __init__(
        self, *, files: FilesOf | None = None, in_place: FilesOf | None = None, folder: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self._files, self._in_place, self._folder = files, in_place, folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        name = os.fsdecode(path)
        if ctx is not None and name != STDIN:
            ctx.meta.setdefault(_WRITTEN, []).append(self.written(Path(name)))
        return path

    def written(self, path: Path) -> dict[str, list[Path]]:
        """What `Inputs.check` has to look at."""
        return {
            "files": list(self._files(path)) if self._files else [],
            "in_place": list(self._in_place(path)) if self._in_place else [],
            "folders": [path] if self._folder else [],
        }


class GuardedCommand(click.Command):
    """A command that does not start where something that it writes is something that it reads."""

    def invoke(self, ctx: click.Context) -> Any:
        _check_apart(ctx)
        return super().invoke(ctx)


def note_read(ctx: click.Context | None, path: str | Path) -> None:
    """Count a file among the inputs of the command."""
    if ctx is not None:
        ctx.meta.setdefault(_READ, []).append(path)


def just(path: Path) -> list[Path]:
    """One file, and nothing beside it."""
    return [path]


def _check_apart(ctx: click.Context) -> None:
    written = ctx.meta.get(_WRITTEN, [])
    together = {kind: [path for one in written for path in one[kind]] for kind in ("files", "in_place", "folders")}
    try:
        Inputs(ctx.meta.get(_READ, [])).check(**together)
    except OutputError as error:
        raise click.UsageError(printable(str(error)), ctx) from None
