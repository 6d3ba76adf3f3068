"""The statistics of a check: the real users beside the simulated ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from collab_sdk.calibration import measured
from collab_sdk.fidelity.checker import CheckedConversation
from collab_sdk.fidelity.conditional import Scores, compared_fit, conditional_scores, too_few, written_replies
from collab_sdk.fidelity.index import MEANINGS, WHOLE, ceiling_of, compared_turns, index_of, minus_ceiling
from collab_sdk.fidelity.measures import Described, measures
from collab_sdk.fidelity.telling_apart import (
    taken_for_assistant,
    two_sample_test,
    written_pairs,
)
from collab_sdk.fidelity.validity import CRITERIA, real_fault
from collab_sdk.stats import (
    Estimate,
    Pairs,
    estimate_correlation,
    estimate_difference,
    estimate_mean,
    estimate_score_difference,
    estimate_together,
    fit_line,
)
from collab_sdk.words import vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class UserStatistic:
    """One thing compared."""

    name: str
    meaning: str
    real: float | None
    """Of the real users, or what a perfect simulator would give; None where there is no such value."""
    simulated: Estimate
    difference: Estimate | None
    """Simulated minus real, with its 95 % interval over conversations: in pairs, but for what has a ceiling."""
    ceiling: Estimate | None = None
    """What real users reach among each other, where that is what the statistic is compared with."""
    part_of: str | None = None
    """The name of the statistic that this one is a part of."""
    percent: bool = False
    """Whether it goes from 0 to 100."""


def user_statistics(checked: Sequence[CheckedConversation]) -> list[UserStatistic]:
    """All that the conversations tell of; those that they tell nothing of are left out."""
    rows = [*_message_rows(checked), *_assistant_rows(checked), *_stop_rows(checked), *_valid_rows(checked)]
    return [*rows, *_test_rows(checked), *_reward_rows(checked)]


def _message_rows(checked: Sequence[CheckedConversation]) -> Iterable[UserStatistic]:
    """What can be counted about messages, over the turns where both wrote one."""
    for name, described in measures(_known_words(checked)).items():
        values = [_values(one, described) for one in checked]
        yield from _paired(name, described.meaning, values, is_yes_or_no=described.is_yes_or_no)


def _values(one: CheckedConversation, described: Described) -> list[tuple[float, float]]:
    values = []
    for turn in one.turns:
        if turn.written is not None:
            real, simulated = (described.measure(message, turn) for message in turn.written)
            if real is not None and simulated is not None:
                values.append((float(real), float(simulated)))
    return values


def _assistant_rows(checked: Sequence[CheckedConversation]) -> Iterable[UserStatistic]:
    taken = taken_for_assistant(checked, written_pairs(checked))
    yield from _paired("like assistant", "role leakage: share like assistant's", taken or [], is_yes_or_no=True)


def _stop_rows(checked: Sequence[CheckedConversation]) -> Iterable[UserStatistic]:
    for name, meaning, stops in (
        ("stops in time", "leaves where the user had left", True),
        ("stops too early", "leaves where the user went on", False),
    ):
        yield from _paired(
            name,
            meaning,
            [
                [
                    (float(stops), float(turn.simulated.done))
                    for turn in one.turns
                    if turn.simulated and turn.real_stops is stops
                ]
                for one in checked
            ],
            is_yes_or_no=True,
        )


def _valid_rows(checked: Sequence[CheckedConversation]) -> Iterable[UserStatistic]:
    yield from _paired(
        "valid turns",
        "what a user could say, by rules",
        [
            [(float(real_fault(turn) is None), float(turn.fault is None)) for turn in one.turns if turn.is_known]
            for one in checked
        ],
        is_yes_or_no=True,
    )
    verdicts = [[turn.verdict for turn in one.turns if turn.verdict is not None] for one in checked]
    judged = {"valid": "valid in all four ways", **CRITERIA}
    for name, meaning in judged.items():
        met = [
            [float(name not in verdict.failed if name in CRITERIA else not verdict.failed) for verdict in of_chat]
            for of_chat in verdicts
        ]
        if (found := estimate_mean(met)) is not None:
            yield UserStatistic(
                name=f"judged {name.replace('_', ' ')}", meaning=meaning, real=None, simulated=found, difference=None
            )


def _test_rows(checked: Sequence[CheckedConversation]) -> Iterable[UserStatistic]:
    marginal = two_sample_test(written_pairs(checked))
    if marginal is not None:
        meaning = "two-sample test; 0.5: look the same"
        yield UserStatistic(name="told apart, AUC", meaning=meaning, real=0.5, simulated=marginal[0], difference=None)
        meaning = "share put on the right side"
        yield UserStatistic(
            name="told apart, accuracy", meaning=meaning, real=0.5, simulated=marginal[1], difference=None
        )
    replies = written_replies(checked)
    if not replies:
        return
    scores = conditional_scores(replies)
    fits = too_few(replies) if scores is None else compared_fit(*scores)
    meaning = "real fits better; 0.5: fits as well"
    yield UserStatistic(name="fits, AUC", meaning=meaning, real=0.5, simulated=fits, difference=None)
    if scores is not None and marginal is not None:
        yield from _index_rows(checked, looks=marginal[0], fits=fits, real_fits=scores[0])


def _index_rows(
    checked: Sequence[CheckedConversation], *, looks: Estimate, fits: Estimate, real_fits: Scores
) -> Iterable[UserStatistic]:
    """The index and its parts, and what real users reach, of whom one half is compared with the other."""
    valid = estimate_mean([[float(turn.fault is None) for turn in one.turns if turn.is_known] for one in checked])
    index = None if valid is None else index_of(compared_turns(checked), looks=looks, fits=fits, valid=valid)
    if index is None:
        return
    real = ceiling_of(checked, real_fits)
    ceilings = {} if real is None else {WHOLE: real.whole, **real.parts}
    for name, found in {WHOLE: index.whole, **index.parts}.items():
        ceiling = ceilings.get(name)
        yield UserStatistic(
            name=name,
            meaning=MEANINGS[name],
            real=None if ceiling is None else ceiling.mean,
            simulated=found,
            difference=None if ceiling is None else minus_ceiling(found, ceiling),
            ceiling=ceiling,
            part_of=None if name == WHOLE else WHOLE,
            percent=True,
        )


def _reward_rows(checked: Sequence[CheckedConversation]) -> Iterable[UserStatistic]:
    rewards = [
        [(pair.observed, pair.simulated) for pair in one.reward_pairs if pair.observed is not None] for one in checked
    ]
    yield from _paired("MR", "observed reward, beside MR: the bias", rewards, is_yes_or_no=False)
    correlation = estimate_correlation(rewards)
    if correlation is not None:
        meaning = "of MR with observed reward"
        yield UserStatistic(name="MR correlation", meaning=meaning, real=None, simulated=correlation, difference=None)
    turns = measured(reward for one in checked for reward in one.rewards)
    line = fit_line(turns)
    if line is not None:
        meaning = "of observed reward by MR; 1: perfect"
        yield UserStatistic(name="MR slope", meaning=meaning, real=1.0, simulated=line.slope, difference=None)
    together = estimate_together(turns)
    if together is not None:
        meaning = "of real users, all turns (PPI)"
        yield UserStatistic(name="real reward", meaning=meaning, real=None, simulated=together, difference=None)


def _paired(name: str, meaning: str, pairs: Pairs, *, is_yes_or_no: bool) -> Iterable[UserStatistic]:
    """The statistic of values of the real and the simulated user at the same turn; none where there is no pair."""
    values = [pair for group in pairs for pair in group]
    if not values:
        return
    real, simulated = (fmean(column) for column in zip(*values, strict=True))
    yield UserStatistic(
        name=name,
        meaning=meaning,
        real=real,
        simulated=Estimate(mean=simulated, low=None, high=None, n=len(values)),
        difference=estimate_difference(pairs) if is_yes_or_no else estimate_score_difference(pairs),
    )


def _known_words(checked: Iterable[CheckedConversation]) -> frozenset[str]:
    """Those of assistants, who are taken to spell, and of goals: a product's name is no typo."""
    return vocabulary(
        text
        for one in checked
        for text in (
            *(message.content for message in one.conversation.messages if message.role == "assistant"),
            *(turn.goal.text for turn in one.turns[:1]),
        )
    )
