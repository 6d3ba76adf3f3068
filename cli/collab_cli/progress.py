"""How far a run is: one live line in a terminal, a line every tenth elsewhere; always on stderr."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from collab_cli.terminal import make_console, note
from collab_cli.units import duration, figure, money, of
from collab_sdk.engine import Ledger

if TYPE_CHECKING:
    from rich.table import Table

BAR_WIDTH = 16
QUIET = 600.0
"""Seconds after which a line is due where nobody looks at a terminal."""


class Line(Protocol):
    """What can be shown: how much is done, of how much if known, and a line that says so, or two for a terminal."""

    total: int | None
    done: int
    on_update: Callable[[], None]

    def line(self) -> str: ...


class Progress:
    """Conversations done of `total` (None: unknown), with what the run has earned and cost so far."""

    def __init__(self, ledger: Ledger, *, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self.begun = 0
        self.failed = 0
        self._mean_mr: float | None = None
        self._ledger = ledger
        self._clock = clock
        self._started = clock()
        self.on_update: Callable[[], None] = _nothing

    def update(self, *, done: int, failed: int, mean_mr: float | None, begun: int = 0) -> None:
        """`begun` are those of a pilot: they are played before any is done."""
        self.done, self.begun, self.failed, self._mean_mr = done, begun, failed, mean_mr
        self.on_update()

    @property
    def seconds(self) -> float:
        return self._clock() - self._started

    def line(self) -> str:
        usage = self._ledger.total
        parts = [f"{self.done:,}/{self.total:,}" if self.total is not None else f"{self.done:,} done"]
        if self.begun > self.done:
            parts.append(f"{self.begun:,} begun")
        if self._mean_mr is not None:
            parts.append(f"MR {figure(self._mean_mr)}")
        parts.append(f"{usage.calls:,} calls")
        if usage.usd:
            parts.append(money(usage))
        parts.append(f"{self.failed:,} failed")
        if missing := self._ledger.missing:
            parts.append(f"{of(missing, 'sample')} missing")
        if self.total is not None and 0 < self.done < self.total:
            parts.append(f"{duration(self.seconds / self.done * (self.total - self.done))} left")
        return " · ".join(parts)


@contextmanager
def shown(progress: Line, *, streaming: bool = False, clock: Callable[[], float] = time.monotonic) -> Iterator[Line]:
    """Show progress while the block runs.

    `streaming` says that rows go to stdout meanwhile: in the same terminal a live line would be mixed up with them.
    """
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if is_terminal and not (streaming and sys.stdout.isatty()):
        with _live(progress):
            yield progress
    else:
        progress.on_update = _Tenths(progress, clock)
        yield progress


@contextmanager
def _live(progress: Line) -> Iterator[None]:
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def text(line: str) -> Text:
        return Text(line, no_wrap=True, overflow="ellipsis")

    def lines() -> "Table":
        bar = ProgressBar(total=progress.total, completed=progress.done, width=BAR_WIDTH, pulse=progress.total is None)
        row = Table.grid(padding=(0, 1))
        first, *others = progress.line().splitlines()
        row.add_row(bar, text(first))
        for line in others:
            row.add_row("", text(line))
        return row

    # stdout is left alone: it may be a file, and what is written to it must arrive there.
    with Live(get_renderable=lines, console=make_console(err=True), transient=True, redirect_stdout=False):
        yield


def _nothing() -> None:
    """A live line refreshes itself."""


class _Tenths:
    """Prints the line when another tenth is done; where the total is unknown, whenever the count has doubled.

    And, where that takes long, every ten minutes.
    """

    def __init__(self, progress: Line, clock: Callable[[], float]) -> None:
        self._progress = progress
        self._clock = clock
        self._due = self._after(0)
        self._printed = clock()

    def __call__(self) -> None:
        if self._progress.done >= self._due or self._clock() - self._printed >= QUIET:
            note(self._progress.line().replace("\n", " · "))
            self._due = self._after(self._progress.done)
            self._printed = self._clock()

    def _after(self, done: int) -> float:
        total = self._progress.total
        return max(10, 2 * done) if total is None else done + max(1, total / 10)
