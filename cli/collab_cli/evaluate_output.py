"""An evaluation as a table on stdout."""

from collections.abc import Sequence

from collab_cli.evaluate_run import Evaluation
from collab_cli.terminal import note, printable, show
from collab_cli.units import money
from collab_sdk.evaluation import BotResult, BotStatistic
from collab_sdk.stats import Estimate

NAME, CELL, DIFFERENCE = 20, 24, 26
"""Columns that a figure's name, a mean and a difference need, intervals included."""


def show_evaluation(evaluation: Evaluation, figures: Sequence[BotStatistic]) -> None:
    """Figures with their intervals, how conversations ended, and money; on stderr why some are missing."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    results = evaluation.results
    first, *others = results
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(Text(evaluation.evaluator.task.name, style="bold"))
    for result in results:
        table.add_column(Text(printable(result.name)))
    for other in others:
        table.add_column(Text(f"{printable(other.name)}\nless {printable(first.name)}"))
    for figure in figures:
        differences = (_written(difference, "+.3f") for difference in figure.differences)
        table.add_row(figure.name, *(_written(mean, ".3f") for mean in figure.means), *differences)
    table.add_row("conversations", *(f"{len(result.done)} of {_asked(result, evaluation)}" for result in results))
    table.add_row("ends", *(_ends(result) for result in results))
    table.add_row("money, this run", *(money(result.usage) for result in results))
    show(table, at_least=NAME + CELL * len(results) + DIFFERENCE * len(others))
    note("In brackets: 95 % bootstrap interval over conversations; of differences, over pairs with the same goal.")
    for result in results:
        for reason, count in result.missing.most_common(3):
            note(f"{count:>7,} missing of {printable(result.name)}: {printable(reason)}")


def _asked(result: BotResult, evaluation: Evaluation) -> int:
    return len(result.played) + len(result.failed) * evaluation.evaluator.samples


def _ends(result: BotResult) -> str:
    return ", ".join(f"{end} {count}" for end, count in result.ends.most_common())


def _written(estimate: Estimate | None, form: str) -> str:
    return "-" if estimate is None else format(estimate, form)
