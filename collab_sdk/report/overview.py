"""What an overview shows: tables, lists of facts, plots and remarks, ready for the template."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any

from collab_sdk.report.fields import Row, count, mapping, number
from collab_sdk.simulator import UserTotals
from collab_sdk.stats import Estimate

MR, OTHER_SCORE = "MR", "score"
"""What the scores of a file are called: MR only where the file says what they were made with."""
PHONE, GAP = 26, 3
"""Characters of figures that a phone has room for beside a name, and those between two columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """`rows` as they are shown; all but the first column hold numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    words: tuple[int, ...] = ()
    """Further columns that hold text."""

    @property
    def is_wide(self) -> bool:
        """Whether a phone has no room for the figures beside each other."""
        columns = list(zip(self.head, *self.rows, strict=False))[1:]
        lengths = [max(map(len, cells)) + GAP for place, cells in enumerate(columns, 1) if place not in self.words]
        return sum(lengths) > PHONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """An SVG with what it shows, in a sentence for those who cannot see it."""

    title: str
    svg: str
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """One thing to know before training; `mood` is good, look or plain."""

    text: str
    mood: str = "plain"


@dataclass(kw_only=True, slots=True)
class Overview:
    """All of it."""

    tiles: list[tuple[str, str]] = field(default_factory=list)
    """A number and what it counts."""
    remarks: list[Remark] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    details: list[Table] = field(default_factory=list)
    """Models, settings, money."""


def percent(estimate: Estimate | None) -> str:
    """`62 % [55, 69]`, in a line that does not break before the sign."""
    if estimate is None:
        return "-"
    mean, bracket, ends = f"{estimate:.0%}".partition(" [")
    return mean.replace("%", "\u00a0%") + bracket + ends.replace("%", "")


def capitalised(text: str) -> str:
    """With a capital at its beginning; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def share(value: float) -> str:
    return f"{100 * value:.0f}\u00a0%"


def share_below(value: float) -> str:
    """Rounded down, as near certainty is no certainty."""
    return f"{floor(100 * value + 1e-9)}\u00a0%"


def units_name(units: Iterable[str]) -> str:
    """What was scored, as many of it."""
    return " and ".join(f"{unit}s" for unit in sorted(units)) or "turns"


def decimal(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else f"{value:{form}}"


def counted(title: str, counts: Mapping[str, int], *, of: int, what: str, note: str = "", most: int = 12) -> Table:
    """Reasons and how often, the most frequent first."""
    common = Counter(counts).most_common(most)
    rest = sum(counts.values()) - sum(number for _, number in common)
    cells = [(reason, f"{n:,}", share(n / of) if of else "-") for reason, n in common]
    cells += [("others", f"{rest:,}", share(rest / of))] if rest and of else []
    return Table(title=title, head=(what, "count", "share"), rows=tuple(cells), note=note)


def count_users(totals: UserTotals, futures: Iterable[Row]) -> None:
    """Count who played the user of futures, as `fields.future` reads them."""
    for future in futures:
        totals.count(future["user"], future["persona"], future["end"])


def users_table(totals: UserTotals) -> Table:
    """Without rows where one user played all, without a persona and without failing."""
    cells = [
        (
            ", ".join(filter(None, who)),
            f"{sum(ends.values()):,}",
            ", ".join(f"{end or 'unknown'} {n:,}" for end, n in ends.most_common()),
        )
        for who, ends in sorted(totals.ends.items())
    ]
    return Table(
        title="Who played the user",
        head=("user", "futures", "how they ended"),
        rows=tuple(cells if totals.tells else ()),
        note="A future whose user failed is missing: it is no fault of the bot's, and in no score.",
        words=(2,),
    )


def users_remarks(totals: UserTotals) -> list[Remark]:
    """How many samples are missing through the simulated user, where some are."""
    if not totals.user_failures:
        return []
    missing = "sample is" if totals.user_failures == 1 else "samples are"
    text = f"{totals.user_failures:,} {missing} missing because of the simulated user, not the bot."
    return [Remark(text=text, mood="look")]


def lost_remarks(lost: int, of: int) -> list[Remark]:
    """How many futures no score has, where some are lost."""
    if not lost:
        return []
    many = f"{lost:,} of {of:,} futures ({share(lost / of)})" if of else f"{lost:,} futures"
    text = f"{many} were lost and are in no score."
    return [Remark(text=text, mood="look")]


def usage_table(usage: Row, *, title: str = "Calls and money by role") -> Table | None:
    """None where no call is known of."""
    if not usage:
        return None
    cells = [(role, *_usage_cells(mapping(spent))) for role, spent in usage.items()]
    if len(cells) > 1:
        names = {name for spent in usage.values() for name in mapping(spent)}
        total = {name: sum(number(mapping(spent).get(name)) or 0.0 for spent in usage.values()) for name in names}
        cells.append(("total", *_usage_cells(total)))
    note = "Of the run that wrote the file. What it found in the cache had been paid for before, and cost nothing."
    head = ("role", "calls", "from cache", "retried", "failed", "tokens in", "tokens out", "money")
    return Table(title=title, head=head, rows=tuple(cells), note=note)


def _usage_cells(spent: Mapping[str, Any]) -> tuple[str, ...]:
    counts = [count(spent.get(name)) for name in ("calls", "cache_hits", "retries", "failures")]
    tokens = [count(spent.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    # Rules and functions do not count tokens; 0 would claim that they did.
    return (*(f"{n:,}" for n in counts), *(f"{n:,}" if n else "-" for n in tokens), _money(spent))


def _money(spent: Mapping[str, Any]) -> str:
    usd, unpriced = number(spent.get("usd")) or 0.0, count(spent.get("unpriced_calls"))
    known = f"${usd:,.2f}" if usd >= 10 or not usd else f"${usd:.4f}"
    if not unpriced:
        return known
    return f"{known} + unknown" if usd else "unknown"
