"""A figure with its interval, and how the two are written."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any, Self

from collab_sdk.stats.quantiles import LEVEL

DIGITS = re.compile(r"(?P<before>.*\.)(?P<digits>\d+)(?P<kind>[f%])")
MOST_DIGITS = 6
BRACKETS = "In brackets: 95 % interval over conversations, where there are enough of them for one."
"""What is said below a table of estimates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean, share or other statistic with its 95 % interval.

    `low` and `high` are None where the data say too little for an interval that would hold in 95 of 100 cases; `note`
    then says why, or what stands in its place. `mean` is not a number where a value is infinite.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    """Values, all conversations together."""
    count: int | None = None
    """Of a share: how many of the `n` it counts."""
    note: str = ""
    is_constant: bool = False
    """Whether there is no interval since enough values are all equal, and not since they are too few."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: a mean that is not finite is None."""
        return {**asdict(self), "mean": self.mean if isfinite(self.mean) else None}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        return cls(**{**row, "mean": nan if row["mean"] is None else row["mean"]})

    def __format__(self, spec: str) -> str:
        """`0.52 [0.41, 0.63]`, each number by `spec`; without an interval the counts, as in `4 of 5`, or `note`.

        The ends get more digits where they would look alike: an interval never reads `[1.00, 1.00]`.
        """
        if self.low is None or self.high is None:
            if self.count is not None:
                return f"{self.count} of {self.n}"
            mean = _written(self.mean, spec) if isfinite(self.mean) else "-"
            return f"{mean} ({self.note})" if self.note else mean
        low, high = _apart(self.low, self.high, spec)
        return f"{_written(self.mean, spec)} [{low}, {high}]"


def _written(value: float, spec: str) -> str:
    """By `spec`, but a zero has no minus sign."""
    text = f"{value:{spec}}"
    return text.removeprefix("-") if not text.strip("-+0.%") else text


def _apart(low: float, high: float, spec: str) -> tuple[str, str]:
    """Both ends, with the digits that it takes to tell them apart."""
    written, parts = (_written(low, spec), _written(high, spec)), DIGITS.fullmatch(spec)
    looks_alike = float(written[0].rstrip("%")) == float(written[1].rstrip("%"))
    if not looks_alike or low == high or parts is None or int(parts["digits"]) >= MOST_DIGITS:
        return written
    return _apart(low, high, f"{parts['before']}{int(parts['digits']) + 1}{parts['kind']}")


def said_of_many(estimates: Iterable[Estimate | None]) -> str:
    """A word on many comparisons, for figures that are shown side by side; empty for fewer than two intervals."""
    shown = sum(one is not None and one.low is not None for one in estimates)
    if shown < 2:
        return ""
    missed = max(1, round(shown * (1 - LEVEL)))
    return (
        f"Each interval is for its own figure: of {shown} such, about {missed} will miss by chance, "
        "so that a single figure that stands out proves little."
    )
