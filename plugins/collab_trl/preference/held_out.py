"""What is held out: which of it chooses the checkpoint, which of it says how good that one is, and what it says."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from collab_sdk.stats import Estimate, estimate_mean
from collab_trl.preference.tokens import Tokens

LEAST = 5
"""Conversations that choose, and as many that report."""
Values = Mapping[str, Sequence[float]]
"""Of each example, by name; what begins with BEFORE is of the model before training."""
BEFORE = "before/"
REWARD, IS_GOOD = "reward", "is good"
"""What is known of single replies, some good and some bad."""
NAMES = {
    "reward_accuracy": "rewards/accuracies",
    "reward_margin": "rewards/margins",
    "chosen_logp": "logps/chosen",
    "rejected_logp": "logps/rejected",
    "loss": "loss",
    "token_accuracy": "mean_token_accuracy",
}
"""Figures by names that people know, and by the trainers'."""


def in_two(held_out: Sequence[Tokens], *, chooses: bool, compares: bool) -> tuple[list[Tokens], list[Tokens]]:
    """The examples that a training is watched by, and those that report on what it gave.

    Where the former choose the checkpoint, none is among the latter: the best of ten looks is good by chance, too. They
    are parted by how their conversations begin, the same ones in every run. With too few for both, none reports. A
    method that `compares` good replies with bad ones needs both on either side: where all are of one kind, none of them
    chooses or reports.
    """
    if not _say_enough(held_out, compares=compares, least=1):
        return [], []
    if not chooses:
        return list(held_out), list(held_out)
    reporting = set(sorted({tokens.example.known_by for tokens in held_out})[::2])
    sides: tuple[list[Tokens], list[Tokens]] = ([], [])
    for tokens in held_out:
        sides[tokens.example.known_by in reporting].append(tokens)
    enough = all(_say_enough(side, compares=compares, least=LEAST) for side in sides)
    return sides if enough else (list(held_out), [])


def _say_enough(side: Sequence[Tokens], *, compares: bool, least: int) -> bool:
    """Whether so many conversations have a good reply and, where the two are compared, as many a bad one."""
    good = {tokens.example.known_by for tokens in side if tokens.example.chosen}
    bad = {tokens.example.known_by for tokens in side if tokens.example.rejected}
    return len(good) >= least and (len(bad) >= least or not compares)


def means(values: Values) -> dict[str, float]:
    """Over all examples, by the trainers' names; of single replies, those of the good and of the bad, and their gap."""
    if REWARD not in values:
        return {name: fmean(of_each) for name, of_each in values.items() if not name.startswith(BEFORE)}
    sides = {"rewards/chosen": _rewards(values, good=True), "rewards/rejected": _rewards(values, good=False)}
    found = {name: fmean(rewards) for name, rewards in sides.items() if rewards}
    if len(found) == len(sides):
        found["rewards/margins"] = found["rewards/chosen"] - found["rewards/rejected"]
    return found


def estimates(values: Values, conversations: Sequence[str]) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """The same with intervals, before the training and after it, given the conversation of each example."""
    if REWARD in values:
        return {}, _found({"reward_margin": estimate_mean(_grouped(_gaps(values), conversations))})
    before, after = (
        {
            name: estimate_mean(_grouped(values[side + key], conversations))
            for name, key in NAMES.items()
            if side + key in values
        }
        for side in (BEFORE, "")
    )
    return _found(before), _found(after)


def _gaps(values: Values) -> list[float]:
    """What each reply says of the gap between the means of good and bad ones: their mean is that gap.

    Their spread is its own (linearised, as in Woodruff 1971), so that it gets an interval as any mean does.
    """
    good, bad = _rewards(values, good=True), _rewards(values, good=False)
    if not good or not bad:
        return []
    means_of, n = (fmean(good), fmean(bad)), len(good) + len(bad)
    gap = means_of[0] - means_of[1]
    return [
        gap + (n / len(good) * (reward - means_of[0]) if is_good else -n / len(bad) * (reward - means_of[1]))
        for reward, is_good in zip(values[REWARD], values[IS_GOOD], strict=True)
    ]


def _rewards(values: Values, *, good: bool) -> list[float]:
    return [reward for reward, is_good in zip(values[REWARD], values[IS_GOOD], strict=True) if bool(is_good) is good]


def _grouped(values: Sequence[float], conversations: Sequence[str]) -> list[list[float]]:
    groups: dict[str, list[float]] = {}
    for value, conversation in zip(values, conversations, strict=bool(values)):
        groups.setdefault(conversation, []).append(value)
    return list(groups.values())


def _found(named: Mapping[str, Estimate | None]) -> dict[str, Estimate]:
    return {name: each for name, each in named.items() if each is not None}
