"""What a report gave, in a few lines on stderr."""

from pathlib import Path

from collab_cli.terminal import note, printable
from collab_cli.units import of, size
from collab_sdk.files import beside
from collab_sdk.report import Applied, Verdict

PAST = {Verdict.KEEP: "kept", Verdict.FLIP: "flipped", Verdict.DROP: "dropped"}


def show_report(page: Path, conversations: int) -> None:
    note(f"{of(conversations, 'conversation')}, {size(page.stat().st_size)}.")
    note(f"Report: {page} (open it in a browser; it needs no network)")


def show_applied(applied: Applied, output: Path, pairs: Path) -> None:
    """What became of the pairs, who decided it, and where the files are."""
    done = ", ".join(f"{count:,} {PAST[verdict]}" for verdict, count in applied.verdicts.items())
    who = f" by {printable(', '.join(applied.by))}" if applied.by else ""
    note(f"Of {pairs.name}: {done}{who}.")
    if applied.undecided:
        note(f"{of(applied.undecided, 'pair')} without a decision stay as they are.")
    note(f"Pairs:    {output}")
    note(f"Details:  {beside(output, 'turns')} (with who decided what)")
