"""Scores on stdout: a table for people, or JSON lines."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from collab_cli.terminal import make_console, printable, show
from collab_sdk import MRScore, MRScorer
from collab_sdk.concurrency import run_sync
from collab_sdk.files import JsonlWriter, run_path
from collab_sdk.score_rows import response_row, run_row
from collab_sdk.spec import RunnerSpec
from collab_sdk.types import Turn

if TYPE_CHECKING:
    from rich.table import Table

NARROW = 100
"""Columns of a terminal in which metric names are folded, to leave room for the responses."""
FOLDED_WIDTH = 8
LEAST_RESPONSE = 6
"""What a narrow terminal leaves of a response."""
ANY_WIDTH = 10_000


Take = Callable[[MRScore, Turn], None]
"""What is done with a score, and the turn that it is of."""


@contextmanager
def json_rows(path: str | Path, scorer: MRScorer, runner: RunnerSpec) -> Iterator[Take]:
    """Write each score as it comes; to a file, with `NAME.run.json` beside it."""
    with ExitStack() as files:
        rows = files.enter_context(JsonlWriter(path))
        run = None if str(path) == "-" else files.enter_context(JsonlWriter(run_path(Path(path))))
        made_with = scorer.made_with
        yield lambda score, turn: rows.write(response_row(score, turn.history, made_with))
        if run is not None:
            spec = replace(scorer.spec, runner=runner).to_dict()
            requests = run_sync(scorer.engine.dialects(scorer.models))
            run.write(run_row(made_with, scorer.engine.ledger.to_dict(), spec=spec, requests=requests))


@contextmanager
def score_table(metrics: Sequence[str]) -> Iterator[Take]:
    """Gather scores, and show them when the block ends, however it ends."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    narrow = make_console(err=False).width < NARROW
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("turn", justify="right", no_wrap=True)
    table.add_column("response", min_width=LEAST_RESPONSE)  # the only one that yields, in a narrow terminal
    table.add_column("MR", no_wrap=True)
    for name in (*metrics, "observed", "ok"):
        table.add_column(_folded(name) if narrow else name, justify="right", no_wrap=True)
    conversation = None

    def line(text: str, style: str = "") -> Text:
        return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")

    def add(score: MRScore, _: Turn) -> None:
        nonlocal conversation
        if score.conversation_id != conversation:
            conversation = score.conversation_id
            table.add_row("", line(conversation, "bold"))
        table.add_row(
            str(score.turn),
            line(score.response),
            _with_error(score),
            *(_number(score.metrics.get(name)) for name in metrics),
            _number(score.observed.reward if score.observed else None),
            f"{score.n_ok}/{score.n}",
        )
        if score.value is None:
            table.add_row("", Text(printable(f"no score: {score.errors[0]}"), style="red"))

    try:
        yield add
    finally:
        if table.row_count:
            _show_whole(table)


def _show_whole(table: "Table") -> None:
    """Give up what space can be given up, then let lines wrap: rich would leave out the last columns without a word."""
    if _least_width(table) > make_console(err=False).width:
        table.padding = 0
    show(table, at_least=_least_width(table))


def _least_width(table: "Table") -> int:
    """Of all columns, with little of the response."""
    from rich.measure import Measurement

    response = table.columns[1]
    response.max_width = LEAST_RESPONSE
    console = make_console(err=False)
    least = Measurement.get(console, console.options.update(width=ANY_WIDTH), table).maximum
    response.max_width = None
    return least


def _folded(name: str) -> str:
    return "\n".join(wrap(name.replace("_", " "), FOLDED_WIDTH))


def _with_error(score: MRScore) -> str:
    if score.value is None:
        return "-"
    return f"{score.value:.2f}" if score.stderr is None else f"{score.value:.2f} ± {score.stderr:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
