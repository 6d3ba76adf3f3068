"""The claims that docs/order-desk.md makes in words, each tested over seeds, corrected for how many there are."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plots import Figures, interval

from collab_sdk.stats import student_beyond

AMBIGUOUS, ASKS, OVER_ASKS, MALFORMED = (
    "success, ambiguous",
    "asks when ambiguous",
    "over-asks when clear",
    "malformed replies",
)
REFERENCE = "shipped pairs, higher rate"
TUNED = "shipped pairs, the desk's training"
"""The arm that all controls differ from in one thing."""
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Claim:
    """One arm differs from another in a statistic, at temperature 1."""

    arm: str
    other: str
    statistic: str = AMBIGUOUS


CLAIMS = (
    Claim("as shipped", "base"),
    Claim(REFERENCE, "base"),
    Claim(REFERENCE, "base", OVER_ASKS),
    Claim(TUNED, REFERENCE),
    Claim(TUNED, "base"),
    Claim(TUNED, "proactive prompt", OVER_ASKS),
    Claim("the desk's recipe", TUNED),
    Claim("SFT on the chosen", "SFT on as many proactive replies"),
    Claim("SFT on the chosen", "SFT on as many proactive replies", OVER_ASKS),
    Claim("SFT on the chosen", "SFT on all proactive replies", OVER_ASKS),
    Claim(REFERENCE, "SFT on the chosen"),
    Claim(TUNED, "no proactive candidates"),
    Claim(TUNED, "labels shuffled"),
    Claim(TUNED, "labels shuffled", OVER_ASKS),
    Claim("no SFT term", "no SFT term, shuffled labels"),
    Claim("no SFT term, shuffled labels", "base"),
    Claim("no SFT term", TUNED, MALFORMED),
    Claim(TUNED, "no future (window 0)"),
    Claim(TUNED, "single-turn helpfulness"),
    Claim("several goals", TUNED),
    Claim("several goals", TUNED, OVER_ASKS),
    Claim("raw margins, three futures", TUNED),
    Claim("raw margins, one future", "raw margins, three futures"),
    Claim("intrinsic reward only", TUNED),
    Claim("task metric only", TUNED, OVER_ASKS),
    Claim("token penalty off", TUNED, OVER_ASKS),
    Claim("six candidates", TUNED),
)
"""Those that compare a control with TUNED were written down before any control had a figure. TUNED itself took
REFERENCE's place after figures of seeds 0 and 1 had been seen, so that claims about these two and the base are not
independent of those seeds."""


@dataclass(frozen=True, slots=True)
class Tested:
    """The mean difference over seeds that both arms have, half its 95 % interval, and p, raw and adjusted."""

    claim: Claim
    differences: Sequence[float]
    half: float
    p: float
    adjusted: float


def tested(find: Callable[[str], dict[int, Figures]]) -> list[Tested]:
    """Every claim of whose arms at least two seeds are there; `find` gives an arm's figures by seed."""
    found = []
    for claim in CLAIMS:
        mine, others = find(claim.arm), find(claim.other)
        seeds = sorted(mine.keys() & others.keys())
        if len(seeds) < 2:
            continue
        pairs = [(mine[seed][claim.statistic], others[seed][claim.statistic]) for seed in seeds]
        differences = [mine - other for mine, other in pairs]
        _, half = interval([{"": difference} for difference in differences], "")
        # Seeds that all differ by the same, as by nothing at all, have no spread to test against.
        spread = statistics.stdev(differences) / len(seeds) ** 0.5
        p = student_beyond(statistics.fmean(differences) / spread, len(seeds) - 1) if spread else 1.0
        found.append((claim, differences, half, p))
    adjusted = holm([p for *_, p in found])
    return [Tested(*each, p) for each, p in zip(found, adjusted, strict=True)]


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted so that the chance of even one false claim stays at the level (Holm 1979), in their order."""
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def claims_table(rows: Sequence[Tested]) -> str:
    lines = [
        f"A family of {len(rows)} claims, paired by seed (t test), adjusted by Holm's method:\n",
        "| arm | against | statistic | seeds | difference | p | adjusted p | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        said = "told apart" if row.adjusted < LEVEL else "not told apart"
        mean = statistics.fmean(row.differences)
        cells = (
            row.claim.arm,
            row.claim.other,
            row.claim.statistic,
            str(len(row.differences)),
            f"{mean:+.2f} ± {row.half:.2f}",
            f"{row.p:.2g}",
            f"{row.adjusted:.2g}",
            said,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
