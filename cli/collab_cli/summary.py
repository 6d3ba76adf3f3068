"""What a run cost, would cost, or gave, in a few lines on stderr."""

from pathlib import Path
from typing import TYPE_CHECKING

from collab_cli.terminal import note, show
from collab_cli.units import duration, money, of
from collab_sdk.chat.ledger import Ledger, Usage
from collab_sdk.scored import ExportReport

if TYPE_CHECKING:
    from rich.table import Table


def show_usage(ledger: Ledger) -> None:
    """Calls, tokens, money and time by role; nothing if there was no call."""
    if not ledger.roles:
        return
    table = _table("role", "calls", "cached", "retries", "prompt tokens", "reply tokens", "money", "time")

    def add(name: str, usage: Usage) -> None:
        counts = (usage.calls, usage.cache_hits, usage.retries, usage.prompt_tokens, usage.completion_tokens)
        table.add_row(name, *(f"{count:,}" for count in counts), money(usage), duration(usage.seconds))

    for name, usage in ledger.by_role().items():
        add(name, usage)
    add("total", ledger.total)
    show(table, err=True)


def show_estimate(ledger: Ledger) -> None:
    """The table of a dry run: it is what the command was asked for, so it goes to stdout."""
    table = _table("role", "calls", "prompt tokens", "reply tokens", "money")

    def add(name: str, usage: Usage) -> None:
        counts = (usage.calls, usage.prompt_tokens, usage.completion_tokens)
        table.add_row(name, *(f"{count:,}" for count in counts), money(usage))

    for name, usage in ledger.by_role().items():
        add(name, usage)
    add("total", ledger.total)
    show(table)
    note("An upper estimate: as if every future ran to its full window and nothing were cached yet. No call was made.")


def show_export(report: ExportReport, output: Path, *, held_out: bool, seconds: float) -> None:
    """What an export gave, why turns gave nothing, and where the files are."""
    done = f"{of(report.pairs, 'pair')} from {of(report.turns, 'turn')} of {of(report.conversations, 'conversation')}"
    note(f"{done}, in {duration(seconds)}.")
    for refusal, count in report.refused.most_common():
        note(f"{count:>7,} without a pair: {refusal}")
    if report.failed:
        note(f"{len(report.failed):>7,} conversations failed, see above")
    show_mr(report.mean_mr, ok=report.samples_ok, n=report.samples)
    beside = output.with_name(f"{output.name.removesuffix('.jsonl')}")
    note(f"Pairs: {output}")
    if held_out:
        note(f"Held out: {beside}.eval.jsonl")
    note(f"All that led to them: {beside}.turns.jsonl")


def show_mr(mean: float | None, *, ok: int, n: int) -> None:
    worth = "No response could be scored" if mean is None else f"Mean MR {mean:.3f}"
    note(f"{worth}; {ok:,} of {of(n, 'sample')} succeeded.")


def _table(first: str, *numbers: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
