"""The tables of hidden.py, as Markdown: what the bots do, how they differ, and how the users do."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.stats import student

Values = dict[str, list[float | None]]
"""A statistic of each customer, in order; None where it does not apply."""
SHOWN = (
    "success",
    "success, ambiguous",
    "asks when ambiguous",
    "over-asks when clear",
    "malformed replies",
    "exchanges",
    "tokens",
)
"""What the tables show of each bot."""
COMPARED = ("success, ambiguous", "success", "over-asks when clear", "exchanges", "tokens")
"""What the arms are compared in, customer by customer."""


def known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def arms_table(arms: Mapping[str, Sequence[Values]]) -> str:
    """Means over seeds, with 95 % intervals over seeds (Student's t)."""
    lines = [f"| trained against | seeds | {' | '.join(SHOWN)} |", f"|---|---|{'---|' * len(SHOWN)}"]
    for name, seeds in arms.items():
        cells = [cell([statistics.fmean(known(values[shown]) or [0.0]) for values in seeds], shown) for shown in SHOWN]
        lines.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences_table(
    heads: Sequence[str], settings: Mapping[str, Sequence[tuple[Values | None, Values | None]]]
) -> str:
    """Of two arms, by seed, paired by customer; over customers, each with the mean of the seeds; over seeds."""
    heads = [*heads, "over customers", "over seeds"]
    lines = [f"| met | statistic | {' | '.join(heads)} |", f"|---|---|{'---|' * len(heads)}"]
    for setting, seeds in settings.items():
        for shown in COMPARED:
            by_seed = [paired(values[shown], others[shown]) if values and others else [] for values, others in seeds]
            if not (there := [each for each in by_seed if each]):
                continue
            by_customer = [statistics.fmean(each) for each in zip(*there, strict=True)]
            cells = [cell(each, shown) for each in (*by_seed, by_customer, [statistics.fmean(each) for each in there])]
            lines.append(f"| {setting} | {shown} | {' | '.join(cells)} |")
    return "\n".join(lines)


def paired(values: Sequence[float | None], others: Sequence[float | None]) -> list[float]:
    return [a - b for a, b in zip(values, others, strict=True) if a is not None and b is not None]


def cell(values: Sequence[float], shown: str) -> str:
    """The mean and half the width of its 95 % interval."""
    if not values:
        return ""
    digits = 1 if shown == "tokens" else 2
    mean = f"{statistics.fmean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    half = student(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean} ± {half:.{digits}f}"


def users_table(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """How often each user leaves, and how many things they tell, with 95 % intervals clustered by visit."""
    rows = [{**row, "chat": f"{number}/{row['chat']}"} for number, each in enumerate(seeds) for row in each]
    users = list(dict.fromkeys(row["user"] for row in rows))
    failed = Counter(row["user"] for row in rows if "failed" in row)
    rows = [row for row in rows if "failed" not in row]
    heads = [f"{user} {what}" for what in ("leaves", "tells") for user in users]
    lines = [f"| when the bot | n | {' | '.join(heads)} |", f"|---|---|{'---|' * len(heads)}"]
    for kind in sorted({row["kind"] for row in rows}):
        of_kind = [row for row in rows if row["kind"] == kind]
        cells = [
            clustered([row for row in of_kind if row["user"] == user], what)
            for what in ("left", "told")
            for user in users
        ]
        lines.append(f"| {kind} | {sum(row['user'] == users[0] for row in of_kind)} | {' | '.join(cells)} |")
    missing = ", ".join(f"{user} {count}" for user, count in failed.items()) or "none"
    return "\n".join([*lines, "", f"Replies that failed and are left out: {missing}."])


def clustered(rows: Sequence[Mapping[str, Any]], what: str) -> str:
    """A mean of rows that come in chats: the variance of a ratio of sums over chats."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        sums.setdefault(row["chat"], []).append(float(row[what]))
    if not rows:
        return ""
    mean, n = statistics.fmean(value for values in sums.values() for value in values), len(rows)
    if len(sums) < 2:
        return f"{mean:.2f}"
    squares = sum((sum(values) - mean * len(values)) ** 2 for values in sums.values())
    half = student(len(sums) - 1) * (squares * len(sums) / (len(sums) - 1)) ** 0.5 / n
    return f"{mean:.2f} ± {half:.2f}"
