"""Scores on stdout: the worst and a table for people, or JSON lines."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Self

from collab_cli.provenance import how_played, say, show_provenance, what_counts
from collab_cli.terminal import is_terminal, make_console, print_text, printable, show, shown_response, this_command
from collab_cli.units import of
from collab_cli.worst import LEAST_ERROR, Worst
from collab_sdk import MRScore, MRScorer, RunSpec
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import OutputError
from collab_sdk.files import JsonlWriter, run_path
from collab_sdk.score_rows import response_row, run_row
from collab_sdk.simulator import UserTotals
from collab_sdk.spec import RunnerSpec
from collab_sdk.stats import estimate_score
from collab_sdk.types import Per, Turn

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

NARROW = 100
"""Columns of a terminal in which metric names are folded, to leave room for the responses."""
FOLDED_WIDTH = 8
LEAST_RESPONSE = 6
"""What a narrow terminal leaves of a response."""
MOST_OF_RESPONSE = 2_000
"""Characters of a response in the table, outside a terminal; `--json` has it whole."""
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
        users = UserTotals()

        def take(score: MRScore, turn: Turn) -> None:
            rows.write(response_row(score, turn.history, made_with))
            users.add(score.futures)

        yield take
        if run is not None:
            spec = replace(scorer.spec, runner=runner).to_dict()
            requests = run_sync(scorer.engine.dialects(scorer.models))
            usage, played = scorer.engine.ledger.to_dict(), users.to_rows()
            run.write(run_row(made_with, usage, spec=spec, users=played, requests=requests))


class ScoreResult:
    """What a run of scores found, for people: shown when the block ends, however it ends.

    Who played comes first, then a line of summary, the worst replies, the `table` if it is asked for, and what to look
    at next. On stderr (`err`), where rows go to stdout, there are no replies.
    """

    def __init__(self, spec: RunSpec, *, table: bool, output: Path | None, err: bool) -> None:
        self._spec, self._has_table, self._output, self._err = spec, table, output, err
        self._lines: list[_Line] = []
        self._values: list[list[float]] = []
        self._conversation: str | None = None
        self._turns = self._samples = self._samples_ok = 0
        self._worst: Worst | None = None
        self._metrics: Sequence[str] = ()

    def __enter__(self) -> Self:
        return self

    def of(self, scorer: MRScorer) -> Take:
        """Takes the scores of a scorer."""
        self._worst = Worst(weights=scorer.weights, at_most=scorer.reward.at_most)
        self._metrics = tuple(scorer.reward.metrics)
        return self._take

    def _take(self, score: MRScore, _: Turn) -> None:
        if score.conversation_id != self._conversation:
            self._conversation = score.conversation_id
            self._values.append([])
        self._turns += 1
        self._samples += score.n
        self._samples_ok += score.n_ok
        if score.value is not None:
            self._values[-1].append(score.value)
        if self._worst is not None:
            self._worst.add(score)
        if self._has_table:
            self._lines.append(_line(score))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._turns or self._worst is None:
            return
        # What ended the run is the error to hear about, whatever becomes of stdout.
        with nullcontext() if kind is None else suppress(OSError, OutputError):
            self._show(self._worst, is_whole=kind is None)

    def _show(self, worst: Worst, *, is_whole: bool) -> None:
        spec = self._spec
        show_provenance(spec, *how_played(spec), what_counts(spec, worst.measured), logs=True, err=self._err)
        say(self._summary(worst), err=self._err)
        if not self._err:
            worst.show(spec.per)
            if self._lines:
                print_text()
                _show_whole(_table(self._lines, self._metrics, spec.per), _notes(self._lines))
            print_text()
        if is_whole:  # else the file is not this run's yet
            say(self._next(), err=self._err)

    def _summary(self, worst: Worst) -> str:
        mean = estimate_score(self._values)
        of_chats = f"{of(worst.n, self._spec.per)} of {of(len(self._values), 'conversation')}"
        said = f"No {self._spec.per} of {of(self._turns, self._spec.per)} could be scored"
        if mean is not None:
            most = "" if worst.of_most is None else f", of at most {worst.of_most:g}"
            shown = f"{mean.mean:.3f}" if mean.low is None and not mean.is_constant else f"{mean:.3f}"  # n follows
            said = f"Mean MR {shown} over {of_chats}{most}"
        lost = self._turns - worst.n
        without = f" {of(lost, self._spec.per)} without a score." if lost and mean is not None else ""
        return f"{said}; {self._samples_ok:,} of {of(self._samples, 'sample')} succeeded.{without}"

    def _next(self) -> str:
        table = "" if self._has_table or self._err else f"--table lists every {self._spec.per}; "
        report = f"{this_command()} report"
        if self._output is None:
            return f"Next: {table}-o scores.jsonl keeps them for {report}, which shows each future and why."
        return f"Next: {table}{report} {self._output} shows each future, and why it earned what it did."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """What the table shows of a score; its futures would fill the memory."""

    conversation: str
    turn: str
    response: str
    mr: str
    metrics: Mapping[str, float]
    observed: float | None
    ok: str
    error: str


def _line(score: MRScore) -> _Line:
    return _Line(
        conversation=score.conversation_id,
        turn="-" if score.turn is None else str(score.turn + 1),
        response=shown_response(score.response)[:MOST_OF_RESPONSE],
        mr=_with_error(score),
        metrics=score.metrics,
        observed=score.observed.reward if score.observed else None,
        ok=f"{score.n_ok}/{score.n}",
        error="" if score.value is not None else f"no score: {score.errors[0]}",
    )


def _table(lines: Sequence[_Line], metrics: Sequence[str], per: Per) -> "Table":
    """A column for each of `metrics` that was measured somewhere; where it was not, it has a dash."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    narrow = make_console(err=False).width < NARROW
    measured = [name for name in metrics if any(name in line.metrics for line in lines)] or metrics
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("deci-\nsion" if narrow and per == "decision" else per, justify="right", no_wrap=True)
    table.add_column("response", min_width=LEAST_RESPONSE)  # the only one that yields, in a narrow terminal
    table.add_column("MR", no_wrap=True)
    for name in (*measured, "observed", "ok"):
        table.add_column(_folded(name) if narrow else name, justify="right", no_wrap=True)
    for line in lines:
        numbers = (_number(line.metrics.get(name)) for name in measured)
        response = Text(printable(line.response), no_wrap=True, overflow="ellipsis")
        table.add_row(line.turn, response, line.mr, *numbers, _number(line.observed), line.ok)
    return table


def _notes(lines: Sequence[_Line]) -> list[list["Text"]]:
    """What stands before each row of the table, and after the last: the id of a new chat, why a score is missing."""
    from rich.text import Text

    notes: list[list[Text]] = [[] for _ in range(len(lines) + 1)]
    conversation = None
    for row, line in enumerate(lines):
        if line.conversation != conversation:
            conversation = line.conversation
            notes[row].append(Text(printable(conversation), style="bold", overflow="fold"))
        if line.error:
            notes[row + 1].append(Text(printable(line.error), style="red"))
    return notes


def _show_whole(table: "Table", notes: Sequence[Sequence["Text"]]) -> None:
    """Give up what space can be given up, then let lines wrap: rich would leave out the last columns without a word."""
    from rich.console import Group

    if _least_width(table) > make_console(err=False).width:
        table.padding = 0
    console, least = make_console(err=False), _least_width(table)
    width, console.width = console.width, max(console.width, least)
    show(Group(*_with_notes(console.render_lines(table, pad=False), notes, width)), at_least=least)


def _with_notes(
    lines: Sequence[Sequence["Segment"]], notes: Sequence[Sequence["Text"]], width: int
) -> Iterator["RenderableType"]:
    """The lines of a table, one for each row, with the notes over all columns, as far as a terminal goes."""
    from rich.constrain import Constrain
    from rich.segment import Segment, Segments

    heads = len(lines) - len(notes) + 1
    for place, line in enumerate(lines, 1):
        yield Segments([*line, Segment.line()])
        if place >= heads:
            yield from (Constrain(note, width) for note in notes[place - heads])


def _least_width(table: "Table") -> int:
    """Of all columns, with little of the response where there is a width to keep to."""
    from rich.measure import Measurement

    response = table.columns[1]
    if is_terminal() or "COLUMNS" in os.environ:  # elsewhere nobody said how wide
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
    if score.stderr is None:
        return f"{score.value:.2f}"
    if not score.stderr:  # futures that agree are no proof that the next one will
        return f"{score.value:.2f} (alike)"
    return f"{score.value:.2f} ± {score.stderr:.2f}" if score.stderr >= LEAST_ERROR else f"{score.value:.2f} ±<0.01"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
