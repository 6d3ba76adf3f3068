"""What a check of a judge found, as statistics: what they are, what they should be, and whether they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from collab_sdk.judging.checker import EMPTY_REPLIES, CheckedJudgements, Probe
from collab_sdk.judging.people import RatedResponse, ReviewedPair
from collab_sdk.report.decisions import PairAction
from collab_sdk.stats import (
    Estimate,
    estimate_amount,
    estimate_auc,
    estimate_difference,
    estimate_kappa,
    estimate_mean,
    estimate_order,
    is_right,
    order_by_size,
)

TOLERANCE = 0.05
"""By how much a score from 0 to 1 may move where nothing has changed."""
LEAST_ALIKE = 59
"""Chats that, all alike, stand in for an interval: if one chat in twenty were otherwise, such a one would be among them
with 95 % (0.95 ** 59 < 0.05; Hanley and Lippman-Hand, JAMA 1983)."""
EQUAL = 1e-9
ALMOST_PERFECT = 0.8
"""A kappa above it is almost perfect agreement (Landis and Koch 1977)."""
RISING = "rising"
NOTHING, SAME, PEOPLE = "in place of the first reply", "the same chat again", "beside people"

Ends = tuple[float, float]
Groups = Sequence[Sequence[float]]
Pairs = list[list[tuple[float, float]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeStatistic:
    """One statistic about a judge."""

    group: str
    name: str
    value: Estimate
    meaning: str
    """What it should be."""
    holds: bool | None = None
    """Whether it is; None where it is unclear, or a matter of degree."""

    @property
    def is_too_few(self) -> bool:
        """Whether there are too few chats to tell whether it is."""
        return self.holds is None and self.value.low is None and self.meaning not in ("", RISING)


def judge_statistics(
    checked: Sequence[CheckedJudgements],
    rated: Sequence[RatedResponse] = (),
    reviewed: Sequence[ReviewedPair] = (),
) -> list[JudgeStatistic]:
    """All that there is something to say about, in the order of a reader's questions."""
    return [*_nothing(checked), *_same(checked), *_rated(rated), *_reviewed(reviewed)]


def _nothing(checked: Sequence[CheckedJudgements]) -> Iterable[JudgeStatistic]:
    """What replies earn that deliver nothing."""
    silent = estimate_mean([[each.score for each in one.of(Probe.SILENCE)] for one in checked])
    if silent is not None:
        yield JudgeStatistic(group=NOTHING, name="no reply: score", value=silent, meaning="")
    for probe in EMPTY_REPLIES:
        pairs = _pairs(checked, Probe.SILENCE, probe)
        if (value := estimate_difference(pairs)) is not None:
            holds = _at_most(_ends(value, _changes(pairs)), TOLERANCE)
            yield JudgeStatistic(group=NOTHING, name=f"{probe}: gain", value=value, meaning="0", holds=holds)
    for probe in EMPTY_REPLIES:
        pairs = _pairs(checked, probe, Probe.LOGGED)
        if (value := estimate_difference(pairs)) is not None:
            holds = _above(_ends(value, _changes(pairs)), 0.0)
            yield JudgeStatistic(group=NOTHING, name=f"reply over {probe}", value=value, meaning="above 0", holds=holds)


def _same(checked: Sequence[CheckedJudgements]) -> Iterable[JudgeStatistic]:
    """What changes where nothing has changed."""
    for probe, name in ((Probe.AGAIN, "another draw"), (Probe.BACKWARDS, "list backwards")):
        moved = [list(map(abs, group)) for group in _changes(_pairs(checked, Probe.WHOLE, probe))]
        if (value := estimate_amount(moved)) is not None:
            holds = _at_most(_ends(value, moved), TOLERANCE)
            yield JudgeStatistic(group=SAME, name=f"{name}: change", value=value, meaning="0", holds=holds)
        verdicts = [_verdicts(one, probe) for one in checked]
        if (kappa := estimate_kappa(verdicts)) is not None:
            holds = _is_almost_1(kappa, chats=sum(map(bool, verdicts)))
            yield JudgeStatistic(group=SAME, name=f"{name}: kappa", value=kappa, meaning="1", holds=holds)
    pairs = _pairs(checked, Probe.WHOLE, Probe.PADDED)
    if (value := estimate_difference(pairs)) is not None:
        holds = _at_most(_ends(value, _changes(pairs)), TOLERANCE)
        yield JudgeStatistic(group=SAME, name="said twice: gain", value=value, meaning="0 or less", holds=holds)


def _pairs(checked: Sequence[CheckedJudgements], base: Probe, probe: Probe) -> Pairs:
    """By chat, the score of one probe and that of another."""
    return [[(first.score, shown.score) for first in one.of(base)[:1] for shown in one.of(probe)] for one in checked]


def _changes(pairs: Pairs) -> Groups:
    return [[after - before for before, after in group] for group in pairs]


def _verdicts(one: CheckedJudgements, probe: Probe) -> list[tuple[float, float]]:
    """Verdicts on one requirement in two judgements of one chat, each against each."""
    draws = [*one.of(Probe.WHOLE)[:1], *one.of(probe)]
    return [
        both for first, second in combinations(draws, 2) for both in zip(first.verdicts, second.verdicts, strict=True)
    ]


def _ends(value: Estimate, groups: Groups = ()) -> Ends | None:
    """The interval; of enough chats that are all alike, how far others, from 0 to 1, may move the mean."""
    if value.low is not None and value.high is not None:
        return value.low, value.high
    known, chats = [each for group in groups for each in group], sum(map(bool, groups))
    if chats < LEAST_ALIKE or max(known) - min(known) >= EQUAL:
        return None
    others = 1 - 0.05 ** (1 / chats)
    return value.mean * (1 - others), value.mean + others * (1 - value.mean)


def _at_most(ends: Ends | None, most: float) -> bool | None:
    """Whether a statistic is at most `most`, as far as its interval can tell."""
    if ends is None:
        return None
    return True if ends[1] <= most else False if ends[0] > most else None


def _is_almost_1(kappa: Estimate, *, chats: int) -> bool | None:
    if kappa.low is None or kappa.high is None:
        return True if kappa.mean > 1 - EQUAL and chats >= LEAST_ALIKE else None
    return True if kappa.low >= ALMOST_PERFECT else False if kappa.high < ALMOST_PERFECT else None


def _above(ends: Ends | None, least: float) -> bool | None:
    """Whether a statistic is above `least`, as far as its interval can tell."""
    if ends is None:
        return None
    return True if ends[0] > least else False if ends[1] <= least else None


def _above_chance(name: str, value: Estimate, chance: float) -> JudgeStatistic:
    holds = _above(_ends(value), chance)
    return JudgeStatistic(group=PEOPLE, name=name, value=value, meaning=f"above {chance:g}", holds=holds)


def _rated(rated: Sequence[RatedResponse]) -> Iterable[JudgeStatistic]:
    """Responses that people found good or bad; those to one history are alike."""
    by_chat: dict[str, list[tuple[float, bool]]] = {}
    for each in rated:
        if each.value is not None:
            by_chat.setdefault(each.history_id, []).append((each.value, each.is_good))
    good, bad = (
        {chat: [value for value, is_good in group if is_good is kind] for chat, group in by_chat.items()}
        for kind in (True, False)
    )
    auc = estimate_auc(good, bad)
    if auc is None:
        return
    yield _above_chance("rated: AUC", auc, 0.5)
    cut = as_many_good([each for group in by_chat.values() for each in group])
    verdicts = [[(value >= cut, is_good) for value, is_good in group] for group in by_chat.values()]
    if (kappa := estimate_kappa(verdicts)) is not None:
        yield _above_chance("rated: kappa", kappa, 0.0)
    margins = [[one - other for one in good[chat] for other in bad[chat]] for chat in by_chat]
    yield from _by_margin("rated", margins)


def as_many_good(known: Sequence[tuple[float, bool]]) -> float:
    """The value from which a response is called good, so that as nearly as can be as many are as people found good."""
    many = sum(is_good for _, is_good in known)
    cuts = sorted({*(value for value, _ in known), float("inf")})
    return min(cuts, key=lambda cut: abs(sum(value >= cut for value, _ in known) - many))


def _reviewed(reviewed: Sequence[ReviewedPair]) -> Iterable[JudgeStatistic]:
    """Pairs that people kept or flipped; the margin is the judge's for what the first judge chose."""
    kept, flipped = (_margins(reviewed, action) for action in (PairAction.KEEP, PairAction.FLIP))
    chats = dict.fromkeys([*kept, *flipped])
    if not chats:
        return
    margins = [[*kept.get(chat, ()), *(-margin for margin in flipped.get(chat, ()))] for chat in chats]
    if (agreed := estimate_order(margins)) is not None:
        yield _above_chance("pairs: same order", agreed, 0.5)
    # Which side comes first is no verdict: each pair counts both ways round, and chance is one half.
    both_ways = [
        [verdict for margin in group for right in [is_right(margin)] for verdict in _both_ways(right)]
        for group in margins
    ]
    if (kappa := estimate_kappa(both_ways)) is not None:
        yield _above_chance("pairs: kappa", kappa, 0.0)
    if (auc := estimate_auc(kept, flipped)) is not None:
        yield _above_chance("pairs: AUC of margin", auc, 0.5)
    yield from _by_margin("pairs", margins)


def _margins(reviewed: Sequence[ReviewedPair], action: PairAction) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for pair in reviewed:
        if pair.action is action and pair.margin is not None:
            found.setdefault(pair.conversation.id, []).append(pair.margin)
    return found


def _both_ways(right: float) -> list[tuple[bool, bool]]:
    judge = {1.0: (True, False), 0.0: (False, True), 0.5: (True, True)}[right]
    return [(judge[0], True), (judge[1], False)]


def _by_margin(name: str, margins: Groups) -> Iterable[JudgeStatistic]:
    """How often the judge's order is people's, in thirds of the judge's margin."""
    for third in order_by_size(margins):
        said = f"{name}, {third.size} margin (to {third.largest:.2f})"
        yield JudgeStatistic(group=PEOPLE, name=said, value=third.agreed, meaning=RISING)
