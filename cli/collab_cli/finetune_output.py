"""What a training says before it starts and when it is done."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from collab_cli.terminal import note, print_text, printable, show
from collab_cli.units import duration, of, size
from collab_sdk.secrets import one_line
from collab_sdk.training import USER, HeldOut, Memory, Preflight, RepliesCompared, TrainingReport

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

BINS = 8
BAR = 30
PLACES_SHOWN = 3
REPLY_SHOWN = 66
"""Characters of a reply, so that it is a line on a terminal of 80 columns."""
RENDERED = 2000
"""Characters of the example that are shown, from its end, where the loss is."""


def show_preflight(preflight: Preflight, *, skip_bad: bool) -> None:
    """Everything that can be known before a weight is loaded; on stdout, as a dry run is asked for just that."""
    print_text(
        f"{of(preflight.examples, 'example')} to train on, {preflight.held_out:,} held out, "
        f"from {of(preflight.conversations, 'conversation')}."
    )
    replies = preflight.completion_lengths
    show(_histogram("tokens, prompt and reply" if replies else "tokens, prompt", preflight.lengths))
    if replies:
        show(_histogram("tokens, longest reply", replies))
    if preflight.margins:
        show(_histogram("margin, chosen over rejected", preflight.margins))
    marked = " (what the loss counts is marked)" if replies else ""
    print_text(f"\nOne example as the model sees it{marked}:")
    show(_rendered(preflight.rendered))
    show(_plan(preflight))
    show(_memory(preflight))
    for text in preflight.notes:
        note(f"Note: {text}")
    for fault in preflight.faults:
        places = ", ".join(fault.places[:PLACES_SHOWN]) + (", ..." if len(fault.places) > PLACES_SHOWN else "")
        verb = "Left out" if skip_bad else "Refused"
        note(f"{verb}: {of(len(fault.places), 'row')}, {printable(fault.problem)} ({places})")


def show_report(report: TrainingReport) -> None:
    """What came of it and how to serve it."""
    again = ", gone on with" if report.resumed else ""
    kept = f", kept that of step {report.kept_step:,}" if report.kept_step != report.steps else ""
    note(f"{of(report.steps, 'step')} in {duration(report.seconds)}{again}{kept}.")
    if report.held_out is not None:
        show(_held_out(report.held_out), err=True)
        note(f"On {report.held_out.said}. In brackets: 95 % interval.")
        for compared in report.held_out.replies:
            _show_replies(compared, report.held_out.before_is)
    for warning in report.warnings:
        note(f"Warning: {printable(warning)}")
    for text in report.notes:
        note(text)
    note(printable(report.verdict.said))
    if report.pushed is not None:
        note(printable(report.pushed))
    if not report.verdict.is_good:
        judged = "" if report.verdict.found == "not known" else "; it is not worth serving as it is"
        note(f"What was trained is in {report.output}{judged}.")
        return
    note(f"Adapter: {report.output}")
    note("Use it as a simulated user:" if report.role == USER else "Serve it:")
    for server, commands in report.serve.items():
        note("\n".join([f"  # {server}", *(f"  {command}" for command in commands.splitlines())]))


def _histogram(title: str, values: Sequence[float]) -> "Table":
    from rich.table import Table

    low, high = min(values), max(values)
    width = (high - low) / BINS or 1
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / width))] += 1
    whole = all(isinstance(value, int) for value in values)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, title=f"\n{title}", title_justify="left")
    table.add_column(justify="right")
    table.add_column()
    table.add_column(justify="right")
    used = counts if low < high else counts[:1]
    for position, n in enumerate(used):
        edge = low + position * width
        table.add_row(f"{edge:,.0f}" if whole else f"{edge:.2f}", "█" * round(n / max(counts) * BAR), f"{n:,}")
    return table


def _rendered(pieces: Sequence[tuple[str, bool]]) -> "Text":
    from rich.text import Text

    prompt, *completions = pieces
    text = Text(_safe(prompt[0][-RENDERED:]), style="dim")
    for completion, is_learnt in completions:
        if is_learnt:
            text.append(f"\n▌ {_safe(completion[:RENDERED])}", style="bold")
        elif completion.strip():
            text.append(f"\n{_safe(completion[:RENDERED]).strip()}", style="dim")
    return text


def _safe(text: str) -> str:
    """Lines stay; characters that could drive the terminal go."""
    return "".join(char for char in text if char.isprintable() or char == "\n")


def _plan(preflight: Preflight) -> "Table":
    table = _table("")
    for name, value in preflight.plan.items():
        table.add_row(name, value)
    share = preflight.trainable / preflight.parameters
    table.add_row("trained", f"{preflight.trainable:,} of {preflight.parameters:,} parameters ({share:.2%})")
    table.add_row("longest", f"{max(preflight.lengths):,} of {preflight.max_length:,} tokens")
    return table


def _memory(preflight: Preflight) -> "Table":
    table = _table("memory", "weights", "training", "together")
    for memory in preflight.memory:
        table.add_row(memory.way, *map(size, _parts(memory)))
    if preflight.available is not None:
        table.add_row("free", "", "", f"{size(preflight.available)} on {preflight.device}")
    return table


def _parts(memory: Memory) -> tuple[int, int, int]:
    return memory.weights, memory.training, memory.total


def _held_out(held_out: HeldOut) -> "Table":
    table = _table("held out", held_out.before_is, "adapter", "difference", *(["real users"] if held_out.real else []))
    for name, difference in held_out.difference.items():
        means = [f"{side[name].mean:.3f}" for side in (held_out.before, held_out.after)]
        real = [f"{held_out.real[name]:.3f}"] if name in held_out.real else []
        table.add_row(name.replace("_", " "), *means, f"{difference:+.3f}", *real)
    if held_out.update is not None:
        table.add_row("update of weights", "", "", f"{held_out.update:.2%}")
    return table


def _show_replies(compared: RepliesCompared, before: str) -> None:
    """What both say to a held-out prompt, each in a line."""
    note(f"\n  asked    {_line(compared.asked)}")
    note(f"  {before:8} {_line(compared.before)}")
    same = compared.before == compared.after
    note(f"  adapter  {'the same' if same else _line(compared.after)}")


def _line(text: str) -> str:
    return printable(one_line(text, REPLY_SHOWN))


def _table(first: str, *others: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, title="", show_header=bool(others))
    table.add_column(first)
    for name in others or ("",):
        table.add_column(name, justify="right" if others else "left")
    return table
