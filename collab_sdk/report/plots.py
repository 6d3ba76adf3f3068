"""Plots as SVG whose colours are the page's own, so that they follow it into dark mode and print.

matplotlib draws with colours that stand for parts of the palette; each becomes a class. Its style attributes become
presentation attributes, which need no exception in the page's Content-Security-Policy.
"""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from collab_sdk.errors import MissingExtraError
from collab_sdk.secrets import harmless

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
ROLES = ("ink", "faint", "good", "bad", "accent", "series-0", "series-1", "series-2", "series-3", "series-4")
PALETTE: Mapping[str, str] = {role: f"#0000{place + 1:02x}" for place, role in enumerate(ROLES)}
CLASSES: Mapping[str, str] = {colour: role for role, colour in PALETTE.items()}
KEPT = {
    "d", "x", "y", "width", "height", "transform", "clip-path", "text-anchor", "fill-opacity", "stroke-opacity",
    "opacity", "stroke-width", "stroke-dasharray", "points", "font-size", "cx", "cy", "r", "x1", "x2", "y1", "y2",
}  # fmt: skip
SHAPES = {
    "svg",
    "g",
    "path",
    "text",
    "tspan",
    "use",
    "defs",
    "clipPath",
    "rect",
    "circle",
    "line",
    "polyline",
    "polygon",
}
FONT_SIZE = re.compile(r"([\d.]+)px")
WIDTH, HEIGHT = 3.4, 2.4
"""Inches of a plot; small, so that its text can still be read on a phone."""
LABEL = 22
"""Characters of a name."""
BASIC_PLANE = 0x3000
"""From here on the fonts that matplotlib measures text with have no shapes: Asian scripts, emoji."""
MOST_POINTS = 1500
"""Of a scatter plot; more of them are one blot, and make the page heavy."""


BINS = 31
"""Of a histogram: an odd number, so that equal values stand above their tick."""
TICKS = 4
"""Steps between ticks, at most: their labels fit a plot of `WIDTH` without touching."""
ALIKE = 1e-6
"""Of the values' size, and of 1 if that is more: values this close are drawn as equal."""


def require_plots() -> None:
    """Raise MissingExtraError where nothing can be drawn."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError.of("A report needs matplotlib", "report")


def histogram(series: Mapping[str, tuple[str, Sequence[float]]], *, x: str, zero: bool = False) -> str:
    """Distributions over one axis; by name, the role of its colour and its values."""

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        values = [value for _, held in series.values() for value in held]
        low, high = _ends(axes.xaxis, [*values, 0.0] if zero else values)
        edges = [low + (high - low) * step / BINS for step in range(BINS + 1)]
        for name, (role, held) in series.items():
            axes.hist(held, bins=edges, color=PALETTE[role], alpha=0.55, label=name)
        if zero:
            axes.axvline(0, color=PALETTE["ink"], linewidth=1)
        axes.set_xlabel(_label(x, 2 * LABEL))
        axes.set_ylabel("count")
        axes.yaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
        if len(series) > 1:
            axes.legend(frameon=False, labelcolor=PALETTE["ink"], loc="lower center", bbox_to_anchor=(0.45, 1), ncols=3)

    return _svg(draw)


def scatter(
    xs: Sequence[float], ys: Sequence[float], *, x: str, y: str, line: float | None = None, most: float | None = None
) -> str:
    """Points, at most `MOST_POINTS` of them, evenly taken; with a line y = `line` * x. No x is above `most`."""
    step = max(1, -(-len(xs) // MOST_POINTS))
    xs, ys = xs[::step], ys[::step]

    def draw(axes: "Axes") -> None:
        axes.scatter(xs, ys, s=14, color=PALETTE["accent"], alpha=0.4, linewidths=0)
        if line is not None:
            ends = [min(0.0, *xs), max(xs)]
            axes.plot(ends, [line * end for end in ends], color=PALETTE["ink"], linewidth=1, linestyle="--")
        _ends(axes.xaxis, xs if line is None else [0.0, *xs])
        _ends(axes.yaxis, ys if line is None else [0.0, *ys])
        if most is not None:
            axes.set_xlim(min(*xs, most - 0.1), most + 0.005)
        axes.set_xlabel(_label(x, 2 * LABEL))
        axes.set_ylabel(y)

    return _svg(draw)


def bars(values: Mapping[str, float], *, x: str) -> str:
    """A bar for each name, downwards in the order given."""

    def draw(axes: "Axes") -> None:
        names = list(values)[::-1]
        colours = [PALETTE["good" if values[name] >= 0 else "bad"] for name in names]
        axes.barh(range(len(names)), [values[name] for name in names], color=colours, alpha=0.75, height=0.6)
        axes.axvline(0, color=PALETTE["ink"], linewidth=1)
        _ends(axes.xaxis, [0.0, *values.values()])
        axes.set_yticks(range(len(names)), [_label(name) for name in names], parse_math=False)
        axes.set_xlabel(_label(x, 2 * LABEL))

    return _svg(draw, height=1.0 + 0.35 * len(values))


def whiskers(rows: Sequence[tuple[str, str, float, float | None, float | None]], *, x: str, zero: bool = False) -> str:
    """A point with its interval for each row, downwards: name, role of the colour, mean, low, high."""

    def draw(axes: "Axes") -> None:
        for place, (_, role, mean, low, high) in enumerate(reversed(rows)):
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=PALETTE[role], linewidth=2)
            axes.plot([mean], [place], marker="o", markersize=6, color=PALETTE[role])
        if zero:
            axes.axvline(0, color=PALETTE["ink"], linewidth=1, linestyle="--")
        drawn = [end for row in rows for end in row[2:] if isinstance(end, float | int)]
        _ends(axes.xaxis, [0.0, *drawn] if zero else drawn)
        axes.set_yticks(range(len(rows)), [_label(row[0]) for row in reversed(rows)], parse_math=False)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel(_label(x, 2 * LABEL))

    return _svg(draw, height=1.0 + 0.32 * len(rows))


def _ends(axis: "Axis", values: Sequence[float]) -> tuple[float, float]:
    """Give an axis its ticks; the ends of what is drawn on it.

    Equal values stand in the middle of the axis, above a single tick: several would differ in digits that mean nothing.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    low, high = min(values), max(values)
    size = max(abs(low), abs(high), 1.0)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "\u2212")))
    if high - low > ALIKE * size:
        axis.set_major_locator(MaxNLocator(TICKS))
        return low, high
    middle = float(f"{(low + high) / 2:.4g}")
    axis.set_major_locator(FixedLocator([middle]))
    ends = (low + high - size) / 2, (low + high + size) / 2
    axis.set_view_interval(*ends, ignore=True)
    return ends


def _label(name: str, most: int = LABEL) -> str:
    """A name short enough to leave room for what is drawn, of characters that a font has."""
    shown = "".join(char for char in harmless(" ".join(name.split())) if ord(char) < BASIC_PLANE)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _svg(draw: Callable[["Axes"], None], *, height: float = HEIGHT) -> str:
    require_plots()
    from matplotlib.figure import Figure

    with _styled():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return _with_page_colours(drawn.getvalue(), prefix=f"p{hashlib.sha256(drawn.getvalue()).hexdigest()[:6]}-")


@contextmanager
def _styled() -> Iterator[None]:
    from matplotlib import rc_context

    ink, faint = PALETTE["ink"], PALETTE["faint"]
    with rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "collab",
            "font.size": 10,
            "text.color": ink,
            "text.parse_math": False,
            "axes.labelcolor": ink,
            "axes.edgecolor": faint,
            "axes.linewidth": 1,
            "xtick.color": faint,
            "ytick.color": faint,
            "xtick.labelcolor": ink,
            "ytick.labelcolor": ink,
        }
    ):
        yield


def _with_page_colours(svg: bytes, *, prefix: str) -> str:
    root = ET.fromstring(svg)  # noqa: S314 - matplotlib's own
    used = {value.lstrip("#") for node in root.iter() for value in _references(node)}
    clean = _clean(root, used, prefix)
    clean.set("viewBox", root.get("viewBox", ""))
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    return ET.tostring(clean, encoding="unicode")


def _references(node: ET.Element) -> Iterator[str]:
    if target := node.get(f"{{{XLINK}}}href"):
        yield target
    if clip := node.get("clip-path"):
        yield clip.removeprefix("url(").removesuffix(")")


def _clean(node: ET.Element, used: set[str], prefix: str) -> ET.Element:
    """The element with what draws, and nothing else."""
    attributes = dict(node.attrib)
    for declaration in attributes.pop("style", "").split(";"):
        name, _, value = declaration.partition(":")
        attributes[name.strip()] = value.strip()
    kept = {name: value for name, value in attributes.items() if name in KEPT}
    if "clip-path" in kept:
        kept["clip-path"] = kept["clip-path"].replace("url(#", f"url(#{prefix}")
    if target := attributes.get(f"{{{XLINK}}}href"):
        kept[f"{{{XLINK}}}href"] = target.replace("#", f"#{prefix}")
    if attributes.get("id") in used:
        kept["id"] = prefix + attributes["id"]
    if size := FONT_SIZE.search(attributes.get("font", "")):
        kept["font-size"] = size[1]
    for paint in ("fill", "stroke"):
        kept |= _paint(paint, attributes.get(paint), kept.get("class", ""))
    clean = ET.Element(node.tag, kept)
    clean.text, clean.tail = (part if part and part.strip() else None for part in (node.text, node.tail))
    for child in node:
        if isinstance(child.tag, str) and child.tag.removeprefix(f"{{{SVG}}}") in SHAPES:
            clean.append(_clean(child, used, prefix))
    return clean


def _paint(paint: str, colour: str | None, classes: str) -> dict[str, str]:
    if colour is None:
        return {}
    if colour in CLASSES:
        return {"class": f"{classes} {paint}-{CLASSES[colour]}".strip()}
    return {paint: colour}
