"""Whether what a command writes would come in the way of what it reads."""

from collections.abc import Iterable
from pathlib import Path

import click

from collab_sdk.logs import PARTIAL, STDIN, log_files


def check_apart(targets: Iterable[Path], logs: tuple[str, ...]) -> None:
    """Raises UsageError if a file that is to be written would replace a log, or be a log of the next run."""
    files = {Path(file).resolve() for file in log_files(logs) if file != STDIN}
    folders = {Path(log).resolve() for log in logs if log != STDIN and Path(log).is_dir()}
    for target in targets:
        written = target.resolve()
        if files & {written, written.with_name(written.name + PARTIAL)}:
            raise click.UsageError(f"{target} is one of the logs and would be replaced: give another -o FILE.")
        if folders & set(written.parents):
            raise click.UsageError(
                f"{target} is in a folder of logs, so the next run would read it as one: give -o FILE elsewhere."
            )
