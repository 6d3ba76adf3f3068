"""The options of commands that read the rows of a task, and the rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click

from collab_cli.options import LIMIT, Work
from collab_cli.params import INPUT, Count, option
from collab_cli.paths import ReadPath
from collab_cli.terminal import Problems
from collab_sdk import Conversation
from collab_sdk.errors import InputError
from collab_sdk.tasks import LeftOutError, Selection, Task, get_task, load_task, no_rows, rows_provenance, task_names

DATA = [
    option(
        "--data",
        type=ReadPath(dir_okay=False, path_type=Path),
        metavar="FILE",
        group=INPUT,
        help="File with the rows of the task, in the schema of its data set, or with chats.  [default: the data "
        "set on the Hugging Face hub]",
    ),
    option(
        "--split",
        metavar="NAME",
        group=INPUT,
        help="Split of the data set on the hub, such as train.  [default: the task's]",
    ),
]
CHOICE = [
    option(
        "--skip",
        type=Count(min=0),
        default=0,
        metavar="N",
        group=INPUT,
        help="Skip the first N rows, for example those that another command has used.",
    ),
    option("--shuffle", is_flag=True, group=INPUT, help="Shuffle the rows with --seed."),
    option(
        "--seed",
        type=Count(min=0),
        default=0,
        metavar="N",
        group=INPUT,
        help="Random seed of --shuffle.",
        show_default=True,
    ),
]
ROW_OPTIONS = [*DATA, LIMIT, *CHOICE]


def is_typed(name: str) -> bool:
    """Whether the option of the command that runs is on the command line."""
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Which rows of which file or split are taken."""

    data: Path | None
    split: str | None
    selection: Selection

    @classmethod
    def taken_out(cls, values: dict[str, Any], work: Work) -> Self:
        """Those that a command's values name, without the options of ROW_OPTIONS afterwards."""
        choice = {name: values.pop(name) for name in ("skip", "shuffle", "seed")}
        selection = Selection(limit=work.limit, **choice)
        data, split = values.pop("data"), values.pop("split")
        if data is not None and not is_typed("split"):
            split = None  # a recipe's, in whose place this file is read
        if is_typed("seed") and not selection.shuffle:
            raise click.UsageError("--seed draws the order of --shuffle, which is not given: give both, or neither.")
        return cls(data=data, split=split, selection=selection)

    def of(self, task: Task, problems: Problems) -> list[Conversation]:
        """Raises UsageError or InputError where there are none.

        Where all rows are read for a choice of some, bad rows are failures only if too few others are left.
        """
        seen, of_all = 0, self.selection.limit is not None and self.selection.reads_all(task)
        bad: list[InputError] = []

        def on_error(error: InputError) -> None:
            if isinstance(error, LeftOutError):
                problems.notes[error.problem] += 1
            elif of_all:
                bad.append(error)
            else:
                problems.report(error)

        def counted(row: Conversation) -> Conversation:
            nonlocal seen
            seen += 1
            return row

        loaded = map(counted, load_task(task, self.data, split=self.split, on_error=on_error))
        rows = list(self.selection.of(loaded, task))
        if bad and len(rows) == self.selection.limit:
            problems.notes[f"rows that cannot be used, none of them chosen; the first is {bad[0]}"] += len(bad)
        else:
            for error in bad:
                problems.report(error)
        if rows:
            return rows
        if seen:
            where = str(self.data or task.name)
            raise InputError(f"--skip {self.selection.skip} leaves none of its {seen:,} rows", where=where)
        raise no_rows(task, self.data, map(get_task, task_names()))

    def provenance(self, task: Task, conversations: Iterable[Conversation]) -> dict[str, Any]:
        """Which rows these are, of a task that they were read for."""
        return rows_provenance(task, conversations, data=self.data, split=self.split, selection=self.selection)
