"""The figures of several models as a picture."""

from collections.abc import Mapping
from pathlib import Path

SHARES = ("success, ambiguous", "success, clear", "asks when ambiguous", "over-asks when clear")


def draw(figures: Mapping[str, Mapping[str, float]], path: Path, *, title: str) -> None:
    """Bars of shares, grouped by figure, one bar a model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(8, 3.6), layout="constrained"))
    axes = canvas.figure.subplots()
    width = 0.8 / len(figures)
    for place, (name, values) in enumerate(figures.items()):
        at = [i - 0.4 + width * (place + 0.5) for i in range(len(SHARES))]
        bars = axes.bar(at, [values[share] for share in SHARES], width=0.94 * width, label=name)
        axes.bar_label(bars, fmt="{:.0%}", fontsize=8, padding=2)
    axes.set_xticks(range(len(SHARES)), SHARES)
    axes.set_ylim(0, 1.12)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(frameon=False, ncols=len(figures), loc="upper left", bbox_to_anchor=(0, -0.1))
    canvas.figure.savefig(path)
