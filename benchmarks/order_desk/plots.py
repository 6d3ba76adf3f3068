"""The figures of many arms as a picture: a line for each arm, a point with its interval for each setting."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from collab_sdk.stats import student

Figures = dict[str, float]
PANELS = ("success, ambiguous", "asks when ambiguous", "over-asks when clear", "tokens")
OFFSET = 0.22
"""Between the points of two settings, in lines."""


def interval(seeds: Sequence[Figures], name: str) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval; 0 for one seed."""
    values = [figures[name] for figures in seeds]
    if len(values) < 2:
        return values[0], 0.0
    return statistics.fmean(values), student(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5


def draw_arms(shown: Mapping[str, Mapping[str, Sequence[Figures]]], path: Path) -> None:
    """`shown` is by setting and arm; the figures are one for each seed."""
    arms = list(dict.fromkeys(arm for by_arm in shown.values() for arm in by_arm))
    panels = [
        name for name in PANELS if any(name in seeds[0] for by_arm in shown.values() for seeds in by_arm.values())
    ]
    canvas = FigureCanvasAgg(Figure(figsize=(3.2 * len(panels) + 1.5, 0.42 * len(arms) + 1.2), layout="constrained"))
    axes = canvas.figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, panels, strict=True):
        for number, (setting, by_arm) in enumerate(shown.items()):
            measured = {arm: interval(seeds, name) for arm, seeds in by_arm.items() if name in seeds[0]}
            shift = OFFSET * (number - (len(shown) - 1) / 2)
            axis.errorbar(
                [mean for mean, _ in measured.values()],
                [arms.index(arm) + shift for arm in measured],
                xerr=[half for _, half in measured.values()],
                fmt="o",
                markersize=4,
                capsize=2,
                label=setting,
            )
        axis.set_title(name, fontsize=9, loc="left")
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
        if name != "tokens":
            axis.set_xlim(-0.03, 1.03)
            axis.xaxis.set_major_formatter("{x:.0%}")
    axes[0].set_yticks(range(len(arms)), arms, fontsize=9)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    canvas.figure.legend(handles, labels, loc="outside lower center", ncols=len(shown), frameon=False, fontsize=9)
    canvas.figure.savefig(path, dpi=110)
