"""A check of the simulator as a table on stdout."""

from collections.abc import Sequence

from collab_cli.terminal import note, printable, show
from collab_cli.units import of
from collab_sdk.fidelity import CheckedConversation, Figure, SimulatorCheck

WIDTH = 116
"""Columns that the table needs; a narrower terminal wraps it rather than losing a number."""


def show_check(check: SimulatorCheck, checked: Sequence[CheckedConversation], figures: Sequence[Figure]) -> None:
    """The figures and what they mean, and on stderr who was compared."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("real", "simulated", "difference"):
        table.add_column(name, no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("meaning")
    for figure in figures:
        table.add_row(
            figure.name,
            "-" if figure.real is None else f"{figure.real:.2f}",
            f"{figure.simulated:.2f}",
            "" if figure.difference is None else f"{figure.difference:+.2f}",
            f"{figure.simulated.n:,}",
            figure.meaning,
        )
    if table.row_count:
        show(table, at_least=WIDTH)
    else:
        note("Nothing could be compared.")
    turns = sum(len(one.turns) for one in checked)
    who = f"{printable(check.simulator.model.name)} beside the users of {of(len(checked), 'chat')}"
    note(f"{who}, {of(turns, 'turn')}. In brackets: 95 % interval over chats.")
