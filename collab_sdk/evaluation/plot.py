"""The statistics as a picture."""

from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

from collab_sdk.errors import MissingExtraError
from collab_sdk.evaluation.statistics import BotStatistic, PersonaResult
from collab_sdk.files import TextWriter
from collab_sdk.stats import Estimate

INCHES, HIGH = 2.6, 3.2
"""Of each statistic's panel."""


def require_plot() -> None:
    """Raise MissingExtraError where nothing can be drawn, before anything is paid for."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError.of("A plot needs matplotlib", "report")


def plot_statistics(
    statistics: Sequence[BotStatistic],
    bots: Sequence[str],
    path: Path,
    *,
    title: str,
    personas: Sequence[PersonaResult] = (),
) -> None:
    """A panel for each statistic, a point and its 95 % interval for each bot; below, a row for each bot by persona.

    Raises OutputError, MissingExtraError.
    """
    require_plot()
    from matplotlib.figure import Figure as Canvas

    rows = [("", statistics, bots), *((each.bot, each.statistics, each.personas) for each in personas)]
    columns = max(len(row) for _, row, _ in rows)
    canvas = Canvas(figsize=(INCHES * columns, HIGH * len(rows)), layout="constrained")
    canvas.suptitle(title, parse_math=False)  # a bot's name may have dollars in it
    panels = canvas.subplots(len(rows), columns, squeeze=False)
    for (bot, row, names), beside in zip(rows, panels, strict=True):
        for panel in beside[len(row) :]:
            panel.set_axis_off()
        beside[0].set_ylabel(bot, parse_math=False)
        for panel, statistic in zip(beside, row, strict=False):
            _draw(panel, statistic, names)
    picture = BytesIO()
    canvas.savefig(picture, dpi=150, format="png")
    with TextWriter(path) as file:
        file.write_bytes(picture.getvalue())


def _draw(panel: Any, statistic: BotStatistic, names: Sequence[str]) -> None:
    for place, mean in enumerate(statistic.means):
        if mean is not None and isfinite(mean.mean):
            panel.errorbar([place], [mean.mean], yerr=_whiskers(mean), fmt="o", capsize=4, color=f"C{place}")
    panel.set_title(statistic.name, fontsize="medium")
    panel.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize="small", parse_math=False)
    panel.set_xlim(-0.5, len(names) - 0.5)


def _whiskers(estimate: Estimate) -> list[list[float]] | None:
    """Lengths below and above the mean, which the interval may just leave out."""
    if estimate.low is None or estimate.high is None:
        return None
    return [[max(estimate.mean - estimate.low, 0.0)], [max(estimate.high - estimate.mean, 0.0)]]
