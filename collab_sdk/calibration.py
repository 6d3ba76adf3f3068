"""A correction of simulated MR by what really followed in logs."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from collab_sdk.errors import InputError, NotEnoughSamplesError, UsageError
from collab_sdk.spec import difference
from collab_sdk.stats import Measured, fit_line

__all__ = ["CALIBRATION_SCHEMA", "Calibration", "RewardPair", "fit_calibration", "measured"]

CALIBRATION_SCHEMA = "collab/calibration/v3"
LEAST = 10
"""Turns. A line through fewer would be noise."""
WEAK = 0.5
"""Where the slope may be 0, and is surely below this, less than half of a difference in MR is seen in real users."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardPair:
    """One logged turn: its simulated MR, and the reward of what really followed."""

    conversation_id: str
    turn: int
    simulated: float
    stderr: float | None
    """Of the simulated MR; None where it is of one future."""
    samples: int
    """The futures that the simulated MR is the mean of."""
    observed: float | None
    """None where the log breaks off, so that nobody knows what followed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The reward to expect of real users where simulated ones gave an MR: `intercept + slope * MR`.

    The MR is meant as it would be of very many futures; a perfect simulator has the slope 1 however few are played. The
    line holds for the provenance that it was made with, which is that of the scores it was fitted to: models, settings,
    samples, metrics and versions. `data` are the turns. The slope is positive, so no order among responses is changed
    by it; their distances are.
    """

    intercept: float
    slope: float
    slope_low: float
    """The ends of the slope's 95 % interval."""
    slope_high: float
    made_with: Mapping[str, Any]
    data: tuple[RewardPair, ...]

    @property
    def n(self) -> int:
        return len(self.data)

    def expected(self, mr: float) -> float:
        return self.intercept + self.slope * mr

    def check(self, made_with: Mapping[str, Any]) -> None:
        """Raise UsageError if scores of this provenance are not what it was fitted to, naming the first difference."""
        if (found := difference(made_with, self.made_with)) is not None:
            raise UsageError(f"The calibration is of other scores: its {found}. Make one with collab check-sim.")

    def to_dict(self) -> dict[str, Any]:
        return {"schema": CALIBRATION_SCHEMA, "n": self.n, **asdict(self)}

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """What `collab check-sim --calibrate` wrote. Raises InputError for anything else."""
        try:
            row = json.loads(Path(path).read_text(encoding="utf-8"))
            if row["schema"] != CALIBRATION_SCHEMA:
                raise ValueError
            calibration = cls(
                intercept=float(row["intercept"]),
                slope=float(row["slope"]),
                slope_low=float(row["slope_low"]),
                slope_high=float(row["slope_high"]),
                made_with=dict(row["made_with"]),
                data=tuple(RewardPair(**pair) for pair in row["data"]),
            )
            ends = 0 < calibration.slope_low <= calibration.slope <= calibration.slope_high < math.inf
            if not (math.isfinite(calibration.intercept) and ends):
                raise ValueError
        except OSError as error:
            raise InputError(f"it cannot be read: {error.strerror}", where=str(path)) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(
                "it is not a calibration: collab check-sim --calibrate writes one", where=str(path)
            ) from error
        return calibration


def fit_calibration(pairs: Sequence[RewardPair], *, made_with: Mapping[str, Any]) -> Calibration:
    """The line of observed rewards over simulated MR, corrected for the noise in MR; `made_with` is the scorer's.

    Raises NotEnoughSamplesError where the turns say too little for one, or that simulated MR says nothing about what
    followed: the 95 % interval of the slope tells which.
    """
    pairs = [pair for pair in pairs if pair.observed is not None]
    turns = f"{len(pairs)} turns of {len({pair.conversation_id for pair in pairs})} chats"
    if len(pairs) < LEAST:
        raise NotEnoughSamplesError(f"No calibration: {len(pairs)} turns with both rewards, and {LEAST} are needed.")
    if len({pair.simulated for pair in pairs}) == 1:
        raise NotEnoughSamplesError("No calibration: the simulated MR is the same at every turn.")
    line = fit_line(measured(pairs))
    if line is None and all(pair.stderr is None for pair in pairs):
        raise NotEnoughSamplesError(
            "No calibration: with one future a turn, nothing tells how much such futures differ. Take more samples."
        )
    if line is None:
        raise NotEnoughSamplesError(
            f"No calibration: over {turns}, MR differs no more than futures of one turn do. Take more samples, or more "
            "chats."
        )
    low, high = line.slope.low, line.slope.high
    if low is None or high is None or low <= 0 < WEAK <= high:
        raise NotEnoughSamplesError(
            f"No calibration: {turns} are too few to tell whether the observed reward rises with MR (slope "
            f"{line.slope:.2f}). Take more chats, or more samples."
        )
    if low <= 0:
        says = "does not rise" if high <= 0 else "hardly rises, if at all,"
        raise NotEnoughSamplesError(
            f"No calibration: over {turns} the observed reward {says} with MR (slope {line.slope:.2f}), so that there "
            "is nothing in it to correct. Try another simulator."
        )
    return Calibration(
        intercept=line.intercept,
        slope=line.slope.mean,
        slope_low=low,
        slope_high=high,
        made_with=dict(made_with),
        data=tuple(pairs),
    )


def measured(rewards: Iterable[RewardPair]) -> list[list[Measured]]:
    """Turns by conversation, with how noisy their MR is; where one future alone is known, as those of other turns.

    Where no turn has more than one, nothing is known of it.
    """
    rewards = list(rewards)
    known = [reward.stderr**2 * reward.samples for reward in rewards if reward.stderr is not None]
    usual = fmean(known) if known else None
    groups: dict[str, list[Measured]] = {}
    for reward in rewards:
        variance = None if usual is None else usual / reward.samples
        if reward.stderr is not None:
            variance = reward.stderr**2
        turn = Measured(simulated=reward.simulated, variance=variance, observed=reward.observed)
        groups.setdefault(reward.conversation_id, []).append(turn)
    return list(groups.values())
