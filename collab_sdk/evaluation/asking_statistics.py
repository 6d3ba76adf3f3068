"""Asking or answering: table 2 of the paper, of a bot's first answers to openings known to be ambiguous or clear."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TypeVar

from collab_sdk.stats.bootstrap import Estimate, estimate_statistic

Item = TypeVar("Item")
Labelled = tuple[bool, bool]
"""Whether the opening is ambiguous, and whether the bot asks."""
Statistic = Callable[[Sequence[Labelled]], float | None]


def asks_when_ambiguous(labelled: Sequence[Labelled]) -> float | None:
    return share([asks for ambiguous, asks in labelled if ambiguous])


def answers_when_clear(labelled: Sequence[Labelled]) -> float | None:
    return share([not asks for ambiguous, asks in labelled if not ambiguous])


def over_asking(labelled: Sequence[Labelled]) -> float | None:
    """The share of clear openings at which it asks all the same."""
    return share([asks for ambiguous, asks in labelled if not ambiguous])


def macro_accuracy(labelled: Sequence[Labelled]) -> float | None:
    """The mean of the accuracies on ambiguous and on clear openings."""
    shares = asks_when_ambiguous(labelled), answers_when_clear(labelled)
    return None if shares[0] is None or shares[1] is None else (shares[0] + shares[1]) / 2


def macro_f1(labelled: Sequence[Labelled]) -> float | None:
    """The mean of the F1 scores of "ask" and of "answer"; None unless there are openings of both kinds."""
    if len({ambiguous for ambiguous, _ in labelled}) < 2:
        return None
    return fmean(_f1(labelled, kind) for kind in (True, False))


STATISTICS: Mapping[str, Statistic] = {
    "asks when ambiguous": asks_when_ambiguous,
    "answers when clear": answers_when_clear,
    "macro accuracy": macro_accuracy,
    "macro F1": macro_f1,
    "over-asking": over_asking,
}


def estimate(
    groups: Sequence[Sequence[Item]],
    statistic: Callable[[Sequence[Item]], float | None],
    *,
    less: Sequence[Sequence[Item]] | None = None,
    resamples: int = 2000,
) -> Estimate | None:
    """A statistic over all conversations with its 95 % percentile bootstrap interval, groups drawn as a whole.

    With `less`, groups of the same conversations in the same order, it is the paired difference to their statistic.
    """

    def value(chosen: Sequence[int]) -> float | None:
        one = statistic([item for place in chosen for item in groups[place]])
        if less is None or one is None:
            return one
        other = statistic([item for place in chosen for item in less[place]])
        return None if other is None else one - other

    return estimate_statistic(range(len(groups)), value, n=sum(map(len, groups)), resamples=resamples)


def share(values: Sequence[bool]) -> float | None:
    return fmean(values) if values else None


def _f1(labelled: Sequence[Labelled], kind: bool) -> float:
    """Of the class `kind`: 2 x hits over hits twice, misses and false alarms."""
    hits = sum(truth == kind == said for truth, said in labelled)
    wrong = sum(truth != said for truth, said in labelled)
    return 2 * hits / (2 * hits + wrong) if hits or wrong else 0.0
