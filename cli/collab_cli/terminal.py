"""Text for people: notes on stderr, tables, one line for whatever came in several."""

import json
import os
import re
import shlex
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from collab_sdk.errors import InputError
from collab_sdk.files import check_stdout, stdout_error
from collab_sdk.messages import Message, ToolCall, shown_text
from collab_sdk.secrets import harmless

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod, RenderableType

    from collab_sdk.stats import Estimate

PROGRAM = "collab"
STDERR = 2
PROBLEMS_SHOWN = 20
GAP = 2
"""Columns between two of a table's."""
LONGEST_HEAD = 12
"""Characters of a word that a table's head does not break."""
_VARIES = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|[0-9][0-9,.]*")
"""What differs between two problems of one kind: what is quoted, and numbers."""
_UNBROKEN = re.compile(r"\S+(?: \[[^\]]*\])?")
"""A word, or a number with its interval."""


def note(text: str) -> None:
    """A line on stderr; stdout is for data."""
    print_text(text, err=True)


def print_text(text: str = "", *, err: bool = False) -> None:
    """Print a line. Where nobody can read stderr any more, the work goes on without it: its results are elsewhere.

    Raises OutputError where stdout takes no more, as on a full disk, BrokenPipeError where its reader has gone.
    """
    try:
        click.echo(text, err=err)
    except OSError as error:
        if err:
            give_up(sys.stderr)
        elif isinstance(error, BrokenPipeError):
            raise
        else:
            raise stdout_error(error) from error


def require_stdout(*files: Path | None) -> None:
    """Raise OutputError where stdout is closed and no file has the result: nobody would see what is paid for."""
    if not any(files):
        check_stdout()


def give_up(stream: TextIO) -> None:
    """Let all that is printed from now on, and the flush at the interpreter's end, go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_standard_streams() -> None:
    """Put something in the place of descriptors that are closed, as by `2>&-`: the next file would take their numbers.

    Python has None for such a stream. `sys.__stdout__` stays so: rows that are meant for it would be lost.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (opened := os.open(os.devnull, os.O_RDWR)) <= STDERR:  # the lowest number that is free
        os.set_inheritable(opened, True)
    os.close(opened)
    nowhere = Path(os.devnull).open("r+", encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stdin, sys.stdout, sys.stderr = sys.stdin or nowhere, sys.stdout or nowhere, sys.stderr or nowhere


def this_command() -> str:
    """What the reader types for this program: `collab` where the shell finds this very one, its path elsewhere."""
    called = Path(sys.argv[0])
    if called.name != PROGRAM or not called.is_file():
        return PROGRAM
    found = shutil.which(PROGRAM)
    return PROGRAM if found is not None and called.samefile(found) else shlex.quote(sys.argv[0])


def printable(text: str) -> str:
    """One line without control characters: logged text must not be able to drive the terminal."""
    return harmless(" ".join(text.split()))


def shortened(text: str, most: int) -> str:
    """At most so many characters: of a longer text its beginning and its end, which tells paths apart."""
    kept = most - 1
    return text if len(text) <= most else f"{text[: kept // 3]}…{text[len(text) - (kept - kept // 3) :]}"


def shown_call(call: ToolCall) -> str:
    """`look_up(order=5)`; arguments that are no JSON object as they were written."""
    given = call.arguments
    if call.parsed is not None:
        given = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.parsed.items())
    return printable(f"{call.name or '?'}({given})")


def shown_response(messages: Sequence[Message]) -> str:
    """What a response says, in a line; its calls where it says nothing."""
    return printable(shown_text(messages)) or ", ".join(
        f"→ {shown_call(call)}" for message in messages for call in message.calls
    )


class Problems:
    """What went wrong along the way, reported on stderr as it happens.

    Twenty are shown at most, and of the bad rows of logs the first of each kind; the others are counted.
    `notes` counts what is no failure but worth a word at the end. With `shows` False all are counted alone.
    """

    def __init__(self, *, shows: bool = True) -> None:
        self.count = 0
        self._shows = shows
        self.notes: Counter[str] = Counter()
        self._shown = 0
        self._kinds: dict[str, str] = {}
        self._alike: Counter[str] = Counter()

    def report(self, problem: object) -> None:
        self.count += 1
        if not self._shows:
            return
        text = printable(str(problem))
        if isinstance(problem, InputError):
            kind = _VARIES.sub("*", problem.problem)
            if kind in self._kinds:
                self._alike[kind] += 1
                return
            if self._shown < PROBLEMS_SHOWN:
                self._kinds[kind] = problem.where or text
        if self._shown < PROBLEMS_SHOWN:
            self._shown += 1
            note(f"Failed: {text}")

    def close(self) -> None:
        for kind, times in self._alike.most_common(PROBLEMS_SHOWN):
            note(f"... and {times:,} more like that of {printable(self._kinds[kind])}")
        others = self.count - self._shown - sum(times for _, times in self._alike.most_common(PROBLEMS_SHOWN))
        if others:
            note(f"... and {others:,} more")
        for what, times in self.notes.items():
            note(f"Note: {times:,} x {printable(what)}")


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show warnings without the source line they come from."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        note(f"Warning: {printable(str(message))}")

    # LiteLLM leaves one behind when a call is cancelled; Python says so at exit, when the block has ended.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show
        yield


def show(renderable: "RenderableType", *, err: bool = False, at_least: int = 0) -> None:
    """Print what rich lays out, `at_least` so wide, through click: a reader that has gone is then met in one place."""
    console = make_console(err=err)
    console.width = max(console.width, at_least)
    with console.capture() as capture:
        console.print(renderable)
    text = "\n".join(line.rstrip() for line in capture.get().splitlines())
    print_text(text.encode(console.encoding, "replace").decode(console.encoding), err=err)


def is_terminal() -> bool:
    """Whether a person reads stdout: what goes into a pipe or a file is never cut."""
    return sys.stdout.isatty()


def make_console(*, err: bool) -> "Console":
    from rich.console import Console

    return Console(stderr=err, markup=False, highlight=False, emoji=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class StatisticsTable:
    """Names with figures beside them. On a narrow terminal names and notes wrap; no number is broken or left out."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    """A name, which may be indented, and its figures."""
    right: Set[str] = frozenset()
    """The heads of columns that are aligned to the right."""

    @property
    def least(self) -> int:
        """The columns that it needs; on a narrower terminal its lines are longer than the terminal's."""
        return sum(self._least()) + GAP * (len(self.head) - 1)

    def beside(self, other: "StatisticsTable") -> "StatisticsTable":
        """With the figures of another table, whose names are the same as far as it goes."""
        more = [*(row[1:] for row in other.rows), *([()] * (len(self.rows) - len(other.rows)))]
        rows = [[*row, *figures] for row, figures in zip(self.rows, more, strict=True)]
        return StatisticsTable(head=(*self.head, *other.head[1:]), rows=rows, right=self.right | other.right)

    def show(self) -> None:
        from rich import box
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
        widths = self._widths(make_console(err=False).width)
        for head, width in zip(self.head, widths, strict=True):
            justify: JustifyMethod = "right" if head in self.right else "left"
            table.add_column(Text(head, overflow="fold"), width=width, justify=justify)
        for name, *figures in self.rows:
            indent = len(name) - len(name.lstrip())
            cells = (_wrapped(figure, width) for figure, width in zip(figures, widths[1:], strict=False))
            table.add_row(Padding(name.lstrip(), (0, 0, 0, indent)), *cells)
        show(table, at_least=self.least)

    def _columns(self) -> list[list[str]]:
        return [[row[place] for row in self.rows if place < len(row)] for place in range(len(self.head))]

    def _least(self) -> list[int]:
        heads = [min(LONGEST_HEAD, _longest(head.split())) for head in self.head]
        names, *figures = self._columns()
        words = [len(name) - len(name.lstrip()) + _longest(name.split()) for name in names]
        unbroken = [_longest(part for figure in column for part in _UNBROKEN.findall(figure)) for column in figures]
        return [max(pair) for pair in zip(heads, [max(words, default=0), *unbroken], strict=True)]

    def _widths(self, room: int) -> list[int]:
        """The least, and what more there is room for, from left to right."""
        widths = self._least()
        spare = room - self.least
        for place, (head, column) in enumerate(zip(self.head, self._columns(), strict=True)):
            wanted = _longest([*head.splitlines(), *column])
            more = max(0, min(spare, wanted - widths[place]))
            widths[place], spare = widths[place] + more, spare - more
        return widths


def cell(estimate: "Estimate | None", form: str) -> str:
    """A figure as a table has it; a dash where there is none."""
    return "-" if estimate is None else format(estimate, form)


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _wrapped(figure: str, width: int) -> str:
    """Lines of a figure; a note in brackets that does not fit beside it stands below it."""
    if len(figure) <= width:
        return figure
    lines = [""]
    for part in figure.replace(" (", "\n(").splitlines():
        lines.append("")
        for word in _UNBROKEN.findall(part):
            if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
                lines.append("")
            lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(filter(None, lines))
