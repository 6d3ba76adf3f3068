"""One table, the targets, and the JSON of a benchmark."""

import json
import os
import platform
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def judged(what: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> Row:
    """A figure beside its target."""
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    target = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}"
    return {"figure": what, "value": value, "target": target, "met": met}


def finish(rows: list[Row], verdicts: list[Row], path: str | None, **details: Any) -> None:
    """Print both tables, if there are verdicts; with `path`, write them with the machine and the `details` as JSON."""
    show(rows)
    if verdicts:
        print()
        show(verdicts)
    if path:
        machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()}
        report = {"machine": machine, "rows": rows, "verdicts": verdicts, **details}
        Path(path).write_text(json.dumps(report, indent=1) + "\n")


def show(rows: list[Row]) -> None:
    cells = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join([line[0].ljust(widths[0]), *padded[1:]]))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
