"""The statistics of an evaluation, worked out by hand, and intervals that hold."""

import random

import pytest

from collab_sdk import Future, Message
from collab_sdk.evaluation import BotResult, Episode, bot_statistics, missing_bounds
from collab_sdk.evaluation.asking_statistics import MACROS, estimate_macro, macro_accuracy
from collab_sdk.stats import estimate_difference


def played(goal, value, *, sample=0, said=("hello there", "hi"), error=None, **fields):
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(said))
    future = Future(sample=sample, messages=messages, metrics={"accuracy": value, "interactivity": 0.5})
    future = future.failed(ValueError(error)) if error else future
    return Episode(conversation_id=goal, opening=(), future=future, **fields)


def result(name, *conversations):
    return BotResult(name=name, played=conversations)


def by_name(*results):
    return {figure.name: figure for figure in bot_statistics(results)}


def test_a_mean_is_over_conversations_and_a_difference_over_pairs_of_them():
    before = result("before", played("a", 0.0), played("b", 1.0), played("c", 0.0))
    after = result("after", played("a", 1.0), played("b", 1.0), played("d", 1.0))
    accuracy = by_name(before, after)["accuracy"]
    assert [mean.mean for mean in accuracy.means] == [pytest.approx(1 / 3), 1.0]
    [difference] = accuracy.differences
    assert (difference.mean, difference.n) == (0.5, 2)  # of a: 1, of b: 0; c and d have no partner


def test_samples_of_a_goal_are_paired_by_their_index():
    before = result("before", played("a", 0.0, sample=0), played("a", 1.0, sample=1))
    after = result("after", played("a", 1.0, sample=1))
    [difference] = by_name(before, after)["accuracy"].differences
    assert (difference.mean, difference.n) == (0.0, 1)


def test_a_metric_is_counted_only_where_it_is_a_yes_or_no_for_all_bots():
    right = result("right", *(played(goal, value) for goal, value in zip("abc", (1.0, 1.0, 0.0), strict=True)))
    wrong = result("wrong", *(played(goal, value) for goal, value in zip("abc", (0.0, 1.0, 1.0), strict=True)))
    partly = result("partly", *(played(goal, value) for goal, value in zip("abc", (0.5, 1.0, 0.0), strict=True)))
    counted, measured = by_name(right, wrong)["accuracy"], by_name(right, partly, wrong)["accuracy"]
    assert [f"{mean:.2f}" for mean in counted.means] == ["2 of 3", "2 of 3"]
    assert [f"{difference:+.2f}" for difference in counted.differences] == ["+0.00 (1 up, 1 down of 3)"]
    assert [f"{mean:.2f}" for mean in measured.means] == ["0.67 (n=3)", "0.50 (n=3)", "0.67 (n=3)"]
    assert [f"{each:+.2f}" for each in measured.differences] == ["-0.17 (n=3)", "+0.00 (n=3)"]


def test_a_conversation_that_failed_is_missing_and_not_a_zero():
    some = result("bot", played("a", 1.0), played("b", 0.0, error="no answer"), played("c", 1.0))
    accuracy = by_name(some)["accuracy"]
    assert (accuracy.means[0].mean, accuracy.means[0].n) == (1.0, 2)
    assert some.ends == {"window": 2, "failed": 1}
    assert some.missing == {"no answer": 1}


def test_what_missing_conversations_could_change_is_bounded_by_what_was_seen():
    before = result("before", played("a", 0.0), played("b", 1.0), played("c", 1.0))
    after = result("after", played("a", 1.0), played("b", 1.0), played("c", 0.0, error="no answer"))
    found = {each.name: each for each in missing_bounds([before, after], samples=1)}["accuracy"]
    assert found.means == (pytest.approx((2 / 3, 2 / 3)), pytest.approx((2 / 3, 1.0)))
    assert found.differences == (pytest.approx((0.0, 1 / 3)),)


def test_a_goal_that_gave_nothing_counts_with_all_its_samples():
    before = BotResult(name="before", played=(played("a", 0.0),), failed={"b": "gone"})
    after = result("after", played("a", 1.0), played("b", 1.0), played("b", 1.0, sample=1))
    found = {each.name: each for each in missing_bounds([before, after], samples=2)}["accuracy"]
    assert found.means[0] == pytest.approx((0.0, 2 / 3))


def test_where_nothing_is_missing_there_is_nothing_to_bound():
    assert missing_bounds([result("bot", played("a", 1.0))], samples=1) == []


def test_tokens_and_exchanges_are_counted_by_who_wrote_them():
    # cl100k_base: "hello there" and "one two three" are 2 and 3 tokens, "hi" and "yes" 1 each.
    chat = played("a", 1.0, said=("hello there", "hi", "one two three", "yes"))
    found = by_name(result("bot", chat))
    assert found["k tokens typed"].means[0].mean == pytest.approx(0.005)
    assert found["k tokens read"].means[0].mean == pytest.approx(0.002)
    assert found["exchanges"].means[0].mean == 2


def test_useful_questions_are_a_share_of_all_questions():
    chats = (played("a", 1.0, questions=(True, False, False)), played("b", 1.0), played("c", 1.0, questions=(True,)))
    useful = by_name(result("bot", *chats))["useful questions"].means[0]
    assert (useful.mean, useful.n) == (0.5, 4)


def test_shares_of_useful_questions_are_compared_over_the_conversations_of_both_bots():
    first = result("first", played("a", 1, questions=(True, False)), played("b", 1), played("c", 1, questions=(True,)))
    other = result("other", played("a", 1, questions=(True,)), played("b", 1, questions=(True, False, False)))
    [difference] = by_name(first, other)["useful questions"].differences
    assert difference.mean == 2 / 4 - 1 / 2  # c has no partner


def test_a_figure_that_no_conversation_tells_of_is_left_out():
    found = by_name(result("bot", played("a", 1.0)))
    assert "useful questions" not in found
    assert "macro F1" not in found


LABELLED = [(True, True), (True, False), (True, False), (True, False), (False, False), (False, True)]
"""Ambiguous: asks 1 of 4. Clear: answers 1 of 2."""
BY_HAND = {
    "asks when ambiguous": 1 / 4,
    "answers when clear": 1 / 2,
    "over-asking": 1 / 2,
    "macro accuracy": (1 / 4 + 1 / 2) / 2,
    # asks: 1 hit, 1 false alarm, 3 misses; answers: 1 hit, 3 false alarms, 1 miss.
    "macro F1": (2 * 1 / (2 * 1 + 1 + 3) + 2 * 1 / (2 * 1 + 3 + 1)) / 2,
}


def asked(name, labelled):
    return result(name, *(played(str(n), 0, is_ambiguous=a, asks=b) for n, (a, b) in enumerate(labelled)))


@pytest.mark.parametrize("name", BY_HAND)
def test_table_2_by_hand(name):
    found = by_name(asked("before", LABELLED), asked("after", [(truth, truth) for truth, _ in LABELLED]))
    mean, perfect = found[name].means
    assert mean.mean == pytest.approx(BY_HAND[name])
    assert mean.low is None  # of six openings
    many, _ = by_name(asked("before", LABELLED * 20), asked("after", LABELLED))[name].means
    assert many.mean == pytest.approx(BY_HAND[name])
    assert many.low < many.mean < many.high
    best = 0.0 if name == "over-asking" else 1.0
    assert perfect.mean == best
    assert found[name].differences[0].mean == pytest.approx(best - BY_HAND[name])


def test_samples_of_one_opening_say_no_more_about_others_than_one_does():
    def times(samples, right):
        return result(
            "bot",
            *(
                played(f"{n}", 0, sample=sample, is_ambiguous=n % 2 == 0, asks=(n % 2 == 0) == (n < right))
                for n in range(24)
                for sample in range(samples)
            ),
        )

    once, often = [by_name(times(n, 12), times(n, 18))["macro accuracy"] for n in (1, 8)]
    for single, repeated in zip((*once.means, *once.differences), (*often.means, *often.differences), strict=True):
        assert single.low is not None
        assert (repeated.mean, repeated.low, repeated.high) == pytest.approx((single.mean, single.low, single.high))


def test_table_2_needs_openings_of_both_kinds():
    found = by_name(asked("bot", [(False, False)]))
    assert found["answers when clear"].means[0].mean == 1
    assert not found.keys() & {"asks when ambiguous", *MACROS}


def test_bots_that_answer_alike_may_yet_differ():
    """Of 60 openings none was answered otherwise: the difference is 0, with an interval that has a width."""
    labelled = [(n % 2 == 0, n % 3 == 0) for n in range(60)]
    found = by_name(asked("one", labelled), asked("two", labelled))
    for name in BY_HAND:
        [difference] = found[name].differences
        assert difference.mean == 0
        assert difference.low < -0.05 < 0.05 < difference.high


@pytest.mark.slow
def test_paired_intervals_cover_a_known_difference_as_often_as_they_say():
    """Two bots on the same 50 goals, two samples of each: goals differ a lot, the second bot is better by 0.1."""
    rng, trials, covered, narrower = random.Random(7), 500, 0, 0
    for _ in range(trials):
        difficulty = [rng.gauss(0.5, 0.3) for _ in range(50)]
        first = [[hard + rng.gauss(0, 0.1) for _ in range(2)] for hard in difficulty]
        second = [[hard + 0.1 + rng.gauss(0, 0.1) for _ in range(2)] for hard in difficulty]
        pairs = [list(zip(*both, strict=True)) for both in zip(first, second, strict=True)]
        interval = estimate_difference(pairs)
        covered += interval.low <= 0.1 <= interval.high
        narrower += interval.high - interval.low < 0.1
    assert 0.93 <= covered / trials <= 0.97
    assert narrower == trials  # unpaired it would be above 0.2


@pytest.mark.slow
def test_intervals_of_the_macro_accuracy_cover_the_truth_as_often_as_they_say():
    rng, trials, covered = random.Random(11), 300, 0
    truth = (0.5 + 0.8) / 2
    for _ in range(trials):
        kinds = [True] * 40 + [False] * 40
        labelled = [[(kind, rng.random() < (0.5 if kind else 0.2))] for kind in kinds]
        interval = estimate_macro(labelled, macro_accuracy)
        covered += interval.low <= truth <= interval.high
    assert 0.93 <= covered / trials <= 0.97
