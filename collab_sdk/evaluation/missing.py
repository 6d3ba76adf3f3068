"""What missing conversations and samples could change about a comparison of bots."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collab_sdk.evaluation.comparison import Answered, Comparison
from collab_sdk.evaluation.statistics import MEASURES, BotResult
from collab_sdk.stats import MissingTally, difference_bounds

Bounds = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingBounds:
    """Between what and what a statistic lies, if what is missing is like the lowest or the highest that was seen."""

    name: str
    means: tuple[Bounds, ...]
    """By bot, over all conversations that were asked for."""
    differences: tuple[Bounds, ...]
    """Each bot but the first, minus the first."""


def missing_bounds(results: Sequence[BotResult], *, samples: int) -> list[MissingBounds]:
    """Of metrics and counts, where conversations are missing; none where nothing is.

    `samples` is how many conversations each goal was to give.
    """
    if not any(result.missing for result in results):
        return []
    metrics = dict.fromkeys(name for result in results for one in result.done.values() for name in one.future.metrics)
    found = [_of(name, [_values(result, name, samples) for result in results]) for name in (*metrics, *MEASURES)]
    return [each for each in found if each is not None]


def mr_bounds(comparison: Comparison) -> MissingBounds | None:
    """Of MR before and after, over all turns; None where no sample is missing.

    A response that could not be had, or a conversation that failed before its turns were known, is one missing sample.
    """
    sides = [(turn.before, turn.after) for turn in comparison.turns]
    sides += [(Answered(), Answered())] * len(comparison.failed)
    if not sides:
        return None
    rewards = [[_rewards(side) for side in both] for both in zip(*sides, strict=True)]
    if not any(None in each for side in rewards for each in side):
        return None
    return _of("MR", rewards)


def _of(name: str, groups: Sequence[Iterable[Sequence[float | None]]]) -> MissingBounds | None:
    tallies = [MissingTally() for _ in groups]
    for tally, several in zip(tallies, groups, strict=True):
        for values in several:
            tally.add(values)
    means = [each for tally in tallies if (each := tally.bounds(*tallies)) is not None]
    if len(means) < len(tallies):
        return None
    first, *others = means
    return MissingBounds(
        name=name, means=tuple(means), differences=tuple(difference_bounds(other, first) for other in others)
    )


def _values(result: BotResult, name: str, samples: int) -> list[list[float | None]]:
    values: list[list[float | None]] = [
        [None if one.is_missing else MEASURES[name](one) if name in MEASURES else one.future.metrics[name]]
        for one in result.played
    ]
    return values + [[None]] * (len(result.failed) * samples)


def _rewards(answered: Answered) -> list[float | None]:
    return [future.reward for future in answered.score.futures] if answered.score else [None]
