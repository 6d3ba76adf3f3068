"""Text for people: notes on stderr, tables, one line for whatever came in several."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from collab_sdk.errors import InputError
from collab_sdk.messages import Message, ToolCall, shown_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PROBLEMS_SHOWN = 20
_VARIES = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|[0-9][0-9,.]*")
"""What differs between two problems of one kind: what is quoted, and numbers."""


def note(text: str) -> None:
    """A line on stderr; stdout is for data."""
    click.echo(text, err=True)


def printable(text: str) -> str:
    """One line without control characters: logged text must not be able to drive the terminal."""
    line = " ".join(text.split())
    return "".join(char for char in line if char.isprintable())


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
    click.echo(text.encode(console.encoding, "replace").decode(console.encoding), err=err)


def make_console(*, err: bool) -> "Console":
    from rich.console import Console

    return Console(stderr=err, markup=False, highlight=False, emoji=False)
