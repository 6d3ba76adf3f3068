"""The statistics as a picture."""

from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from collab_sdk.errors import MissingExtraError
from collab_sdk.evaluation.statistics import BotStatistic
from collab_sdk.files import TextWriter
from collab_sdk.stats import Estimate

INCHES = 2.6
"""Of each statistic's panel."""


def require_plot() -> None:
    """Raise MissingExtraError where nothing can be drawn, before anything is paid for."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError.of("A plot needs matplotlib", "report")


def plot_statistics(statistics: Sequence[BotStatistic], bots: Sequence[str], path: Path, *, title: str) -> None:
    """A panel for each statistic, a point and its 95 % interval for each bot. Raises OutputError, MissingExtraError."""
    require_plot()
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(INCHES * len(statistics), 3.2), layout="constrained")
    canvas.suptitle(title, parse_math=False)  # a bot's name may have dollars in it
    for panel, statistic in zip(canvas.subplots(1, len(statistics), squeeze=False)[0], statistics, strict=True):
        for place, mean in enumerate(statistic.means):
            if mean is not None:
                panel.errorbar([place], [mean.mean], yerr=_whiskers(mean), fmt="o", capsize=4, color=f"C{place}")
        panel.set_title(statistic.name, fontsize="medium")
        panel.set_xticks(range(len(bots)), bots, rotation=20, ha="right", fontsize="small", parse_math=False)
        panel.set_xlim(-0.5, len(bots) - 0.5)
    picture = BytesIO()
    canvas.savefig(picture, dpi=150, format="png")
    with TextWriter(path) as file:
        file.write_bytes(picture.getvalue())


def _whiskers(estimate: Estimate) -> list[list[float]] | None:
    """Lengths below and above the mean, which the interval may just leave out."""
    if estimate.low is None or estimate.high is None:
        return None
    return [[max(estimate.mean - estimate.low, 0.0)], [max(estimate.high - estimate.mean, 0.0)]]
