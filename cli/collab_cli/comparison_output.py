"""Two bots beside each other, as a table on stdout."""

from collab_cli.terminal import note, show
from collab_sdk.evaluation import Comparison, PairedStatistic

WIDTH = 100
"""Columns that the table needs; a narrower terminal wraps it rather than losing a number."""
UNITS = {"MR": ".3f", "tokens": ".1f"}
"""How a statistic is written; the others are shares."""


def show_comparison(comparison: Comparison) -> None:
    """The statistics with their intervals, and on stderr what is missing from them."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("before", "after", "difference"):
        table.add_column(name, no_wrap=True)
    table.add_column("turns", justify="right", no_wrap=True)
    for statistic in comparison.statistics:
        table.add_row(*_cells(statistic))
    if table.row_count:
        show(table, at_least=WIDTH)
    else:
        note("Nothing could be compared.")
    note(f"before: {comparison.before}; after: {comparison.after}. In brackets: 95 % bootstrap interval.")
    for problem in comparison.failed:
        note(f"Failed: {problem}")
    for reason, count in comparison.lost.most_common(3):
        note(f"{count:>7,} missing: {reason}")


def _cells(statistic: PairedStatistic) -> list[str]:
    form = UNITS.get(statistic.name, ".0%")
    before, after, difference = (
        f"{statistic.before:{form}}",
        f"{statistic.after:{form}}",
        f"{statistic.difference:+{form}}",
    )
    return [statistic.name, before, after, difference, str(statistic.before.n)]
