"""A correction of simulated MR by what really followed in logs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression
from typing import Any, Self

from collab_sdk.errors import InputError, NotEnoughSamplesError, UsageError
from collab_sdk.spec import difference

__all__ = ["CALIBRATION_SCHEMA", "Calibration", "RewardPair", "fit_calibration"]

CALIBRATION_SCHEMA = "collab/calibration/v2"
LEAST = 10
"""Turns. A line through fewer would be noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardPair:
    """One logged turn: its simulated MR, and the reward of what really followed."""

    conversation_id: str
    turn: int
    simulated: float
    observed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The reward to expect of real users where simulated ones gave an MR: `intercept + slope * MR`.

    It holds for the provenance that it was made with, which is that of the scores it was fitted to: models, settings,
    metrics and versions. `data` are the turns. The slope is positive, so no order among responses is changed by it;
    their distances are.
    """

    intercept: float
    slope: float
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
                made_with=dict(row["made_with"]),
                data=tuple(RewardPair(**pair) for pair in row["data"]),
            )
            if not (math.isfinite(calibration.intercept) and 0 < calibration.slope < math.inf):
                raise ValueError
        except OSError as error:
            raise InputError(f"it cannot be read: {error.strerror}", where=str(path)) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(
                "it is no calibration: collab check-sim --calibrate writes one", where=str(path)
            ) from error
        return calibration


def fit_calibration(pairs: Sequence[RewardPair], *, made_with: Mapping[str, Any]) -> Calibration:
    """The least-squares line of observed rewards over simulated MR; `made_with` is the scorer's.

    Raises NotEnoughSamplesError where the turns are too few for one, or simulated MR says nothing about what followed.
    """
    if len(pairs) < LEAST:
        raise NotEnoughSamplesError(f"No calibration: {len(pairs)} turns with both rewards, and {LEAST} are needed.")
    simulated = [pair.simulated for pair in pairs]
    if max(simulated) == min(simulated):
        raise NotEnoughSamplesError("No calibration: the simulated MR is the same at every turn.")
    slope, intercept = linear_regression(simulated, [pair.observed for pair in pairs])
    if slope <= 0:
        raise NotEnoughSamplesError(
            f"No calibration: over {len(pairs)} turns the observed reward does not rise with simulated MR "
            f"(slope {slope:.3f}), so there is nothing in it to correct. Try another simulator or more logs."
        )
    return Calibration(intercept=intercept, slope=slope, made_with=dict(made_with), data=tuple(pairs))
