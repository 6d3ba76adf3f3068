"""What ends a command early, as one line on stderr and an exit code."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NoReturn

import click

from collab_cli.terminal import Problems, give_up, note, printable

GO_ON = "What was paid for is kept: run the same command again to go on."
NOTHING = "nothing could be read, scored or written"


class ExitCode(IntEnum):
    """DONE is 0; 2 is click's own, for a command line that it cannot read."""

    ERROR = 1
    SOME_FAILED = 3
    BUDGET = 4
    WORSE = 5
    """What CI is to stop: a statistic below --fail-under, or worse than the --baseline."""
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """As if killed by SIGPIPE: whoever read stdout has had enough."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn whatever a command raises into its exit; a traceback is shown for the unexpected, with COLLAB_DEBUG set."""
    try:
        with _ended_like_ctrl_c():
            yield
    except click.ClickException as error:
        vars(error).update(message=_without_passwords(error.message, typed=True))  # which click declares to be final
        raise
    except (click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        note(f"Interrupted. {GO_ON}")
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        give_up(sys.stdout)
        raise click.exceptions.Exit(ExitCode.PIPE_CLOSED) from None
    except Exception as error:
        code = _explain(error)
        _drop_unwritten()
        raise click.exceptions.Exit(code) from None


def _drop_unwritten() -> None:
    """What stdout did not take would be tried again at the interpreter's end, with another error and exit code."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        give_up(sys.stdout)


def finish(problems: Problems, *, results: float, why: str = NOTHING, incomplete: bool = False) -> None:
    """Leave with an exit code that says so if some of the work, or all of it, could not be done.

    `results` is how much was read, scored or written. Where that is 0, `why` says what there was none of.
    """
    if not results:
        no_result(why)
    if problems.count or incomplete:
        raise click.exceptions.Exit(ExitCode.SOME_FAILED)


def no_result(why: str) -> NoReturn:
    """Leave where nothing was read, scored or written, whatever the cause."""
    note(f"No result: {printable(why)}.")
    raise click.exceptions.Exit(ExitCode.ERROR)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, which Kubernetes and Slurm send, and SIGHUP do what Ctrl-C does.

    A signal that is ignored, as nohup arranges, stays ignored.
    """

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    named = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    in_main_thread = threading.current_thread() is threading.main_thread()  # nobody else may set a handler
    taken = [one for one in named if one and in_main_thread and signal.getsignal(one) is signal.SIG_DFL]
    for one in taken:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)


def _without_passwords(text: str, *, typed: bool = False) -> str:
    """The address of a cache may be typed where a file or command belongs, and come back in what is said of that.

    What was `typed` may have spaces, too.
    """
    from collab_sdk.secrets import without_url_passwords

    return without_url_passwords(text, spaces=typed)


def _explain(error: Exception) -> ExitCode:
    from collab_sdk.errors import BudgetError, CollabError, InterruptedRunError

    if isinstance(error, BudgetError):
        note(f"Stopped: {error} {GO_ON}")
        return ExitCode.BUDGET
    if isinstance(error, InterruptedRunError):
        note(f"Interrupted: {error} {GO_ON}")
        return ExitCode.INTERRUPTED
    if isinstance(error, CollabError):
        note(f"Error: {_without_passwords(printable(str(error)))}")
        return ExitCode.ERROR
    if os.environ.get("COLLAB_DEBUG"):
        raise error
    what = _without_passwords(printable(f"{type(error).__name__}: {error}"))
    note(f"Internal error: {what}; set COLLAB_DEBUG=1 for the traceback.")
    return ExitCode.ERROR
