"""The overview of scores: how high they are, by which metrics, and how far MR is from what really followed."""

from collections import Counter
from dataclasses import dataclass, field
from statistics import fmean

from collab_sdk.report.fields import Row, mapping
from collab_sdk.report.overview import (
    MR,
    Overview,
    Plot,
    Remark,
    Table,
    count_users,
    counted,
    lost_remarks,
    units_name,
    usage_table,
    users_remarks,
    users_table,
)
from collab_sdk.report.plots import histogram, scatter
from collab_sdk.report.settings import settings_table
from collab_sdk.simulator import UserTotals
from collab_sdk.stats import BRACKETS, estimate_score


@dataclass(kw_only=True, slots=True)
class ScoreStatistics:
    """Gathers what scored conversations tell."""

    score: str = MR
    """What the scores of the file are called."""
    turns: int = 0
    units: set[str] = field(default_factory=set)
    """What was scored: turns or decisions."""
    mr: list[list[float]] = field(default_factory=list)
    """By conversation."""
    observed: list[tuple[float, float]] = field(default_factory=list)
    """MR and observed reward of the turns that have both."""
    metrics: dict[str, list[list[float]]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    lost: int = 0
    """Futures that failed, of all `samples`."""
    made_with: list[Row] = field(default_factory=list)
    users: UserTotals = field(default_factory=UserTotals)

    def add(self, chat: Row) -> None:
        if chat["made_with"] and chat["made_with"] not in self.made_with:
            self.made_with.append(chat["made_with"])
        self.units.add(chat["per"])
        candidates = [turn["candidates"][0] for turn in chat["turns"] if turn["candidates"]]
        self.turns += len(chat["turns"])
        self.mr.append([one["mr"] for one in candidates if one["mr"] is not None])
        for one in candidates:
            self.samples += one["n"]
            self.lost += one["lost"]
            count_users(self.users, one["futures"])
            self.failures.update(future["error"] for future in one["futures"] if future["error"])
            if one["observed"] and one["observed"]["reward"] is not None and one["mr"] is not None:
                self.observed.append((one["mr"], one["observed"]["reward"]))
        for name in dict.fromkeys(name for one in candidates for name in one["metrics"]):
            values = [one["metrics"][name] for one in candidates if name in one["metrics"]]
            self.metrics.setdefault(name, []).append(values)

    def overview(self, run: Row) -> Overview:
        values = [value for group in self.mr for value in group]
        mean, what = estimate_score(self.mr), units_name(self.units)
        found = Overview(tiles=[(f"{self.turns:,}", what), (f"{len(self.mr):,}", "conversations")])
        if mean is not None:
            found.tiles.append((f"{mean.mean:.2f}", "mean MR"))
            svg = histogram({what: ("accent", values)}, x="MR")
            caption = f"Mean {mean:.2f}; {len(values):,} {what}."
            found.plots.append(Plot(title=f"MR of {what}", svg=svg, caption=caption))
        if self.observed:
            simulated, really = zip(*self.observed, strict=True)
            svg = scatter(simulated, really, x="MR, of simulated futures", y="observed reward", line=1)
            bias = fmean(simulated) - fmean(really)
            caption = f"A point is a response. MR is {bias:+.2f} beside what really followed, on average."
            found.plots.append(Plot(title="MR beside what really followed", svg=svg, caption=caption))
        unscored = self.turns - len(values)
        found.remarks = [Remark(text=f"{unscored:,} {what} have no score.", mood="look")] if unscored else []
        found.remarks += lost_remarks(self.lost, self.samples)
        found.remarks += users_remarks(self.users)
        if self.samples and not self.failures and not self.lost:
            found.remarks.append(Remark(text=f"All {self.samples:,} futures could be played and judged.", mood="good"))
        cells = [
            (name, "-" if (of := estimate_score(groups)) is None else f"{of:.2f}", f"{sum(map(len, groups)):,}")
            for name, groups in self.metrics.items()
        ]
        note = f"Of the {what} in which it was measured. {BRACKETS}"
        found.tables = [Table(title="Metrics", head=("metric", "mean", what), rows=tuple(cells), note=note)]
        found.tables.append(users_table(self.users))
        found.tables.append(counted("What failed", self.failures, of=self.samples, what="reason"))
        found.tables = [table for table in found.tables if table.rows]
        details = [usage_table(mapping(run.get("usage"))), settings_table(self.made_with, {})]
        found.details = [table for table in details if table is not None]
        return found
