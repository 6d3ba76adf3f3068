"""`collab report`: a page to look at before training, and what reviewers decided on it."""

from pathlib import Path

import click

from collab_cli.failures import finish
from collab_cli.params import Command, option
from collab_cli.paths import ReadPath, WrittenPath
from collab_cli.terminal import Problems, note, printable
from collab_cli.units import of, size
from collab_sdk.files import beside, export_files
from collab_sdk.report import Applied, PairAction, apply_decisions, read_decisions, write_report

FILE = ReadPath(dir_okay=False, path_type=Path)
PAST = {PairAction.KEEP: "kept", PairAction.FLIP: "flipped", PairAction.DROP: "dropped"}


@click.command(cls=Command)
@click.argument("file", type=FILE, metavar="FILE")
@option(
    "--output",
    "-o",
    type=WrittenPath(files=export_files, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the page, or with --apply the reviewed pairs, to FILE.  [default: NAME.html]",
)
@option("--apply", type=FILE, metavar="DECISIONS", help="Apply the decisions saved on the page to the pairs in FILE.")
def report(file: Path, output: Path | None, apply: Path | None) -> None:
    """Make a web page of results, and review pairs on it before you train.

    FILE is what export-prefs, score -o, evaluate -o or check-sim --json wrote. The page is a single HTML file that
    works offline. On it you can keep, flip or drop pairs and save your decisions; --apply writes the pairs as decided.

    \b
      collab report prefs.jsonl -o report.html
      collab report --apply prefs.decisions.json prefs.jsonl -o reviewed.jsonl
    """
    problems = Problems()
    if apply is None:
        target = output or page_path(file)
        results = write_report(file, target, on_error=problems.report)
        problems.close()
        _show_report(target, results)
    else:
        if output is None:
            raise click.UsageError("Missing option '--output' / '-o': the file that the reviewed pairs go to.")
        applied = apply_decisions(read_decisions(apply), file, output)
        results = applied.undecided + applied.actions[PairAction.KEEP] + applied.actions[PairAction.FLIP]
        _show_applied(applied, output, file)
        if applied.unknown:
            problems.report(f"{apply}: {unknown_line(applied.unknown, file)}")
    finish(problems, results=results, why="every pair was dropped")


def _show_report(page: Path, conversations: int) -> None:
    note(f"{of(conversations, 'conversation')}, {size(page.stat().st_size)}.")
    note(f"Report: {page} (open it in a browser; it needs no network)")


def _show_applied(applied: Applied, output: Path, pairs: Path) -> None:
    """What became of the pairs, who decided it, and where the files are."""
    done = ", ".join(f"{count:,} {PAST[action]}" for action, count in applied.actions.items())
    who = f" by {printable(', '.join(applied.by))}" if applied.by else ""
    note(f"Of {pairs.name}: {done}{who}.")
    if applied.undecided:
        note(f"{of(applied.undecided, 'pair')} without a decision stay as they are.")
    if applied.agreement:
        note(applied.agreement)
    note(f"Pairs:    {output}")
    note(f"Details:  {beside(output, 'turns')} (with who decided what)")


def page_path(file: Path) -> Path:
    """`NAME.html` for `NAME.jsonl`, `NAME.turns.jsonl` or `NAME.json`."""
    name = file.name.removesuffix(".jsonl").removesuffix(".turns").removesuffix(".json")
    return file.with_name(f"{name}.html")


def unknown_line(unknown: tuple[str, ...], file: Path) -> str:
    named = ", ".join(unknown[:3]) + (" and others" if len(unknown) > 3 else "")
    return f"{len(unknown):,} of the pairs decided on are not in {file.name}: {named}"
