"""Means and shares with intervals, over turns that come in conversations."""

import random
import statistics
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collab_sdk.stats import (
    Estimate,
    estimate_amount,
    estimate_auc,
    estimate_correlation,
    estimate_difference,
    estimate_mean,
    estimate_paired_share,
    estimate_score,
    estimate_score_difference,
    estimate_share,
    said_of_many,
    student_beyond,
)

values = st.floats(-1e6, 1e6)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(values | st.sampled_from([-1.0, 0.0, 0.5, 1.0]), max_size=4), max_size=20))
def test_an_interval_is_around_the_mean_and_never_a_point(groups):
    seen = [value for group in groups for value in group]
    for estimate in (estimate_mean(groups), estimate_amount(groups), estimate_score(groups)):
        if not seen:
            assert estimate is None
            return
        assert estimate.n == len(seen)
        assert estimate.mean == pytest.approx(statistics.fmean(seen), abs=1e-6)
        if estimate.low is None:
            assert estimate.high is None
            assert estimate.note or estimate.count is not None
        else:
            assert estimate.low <= estimate.mean <= estimate.high
            assert estimate.low < estimate.high


def test_a_share_has_the_interval_of_wilson():
    assert f"{estimate_mean([[1.0]] * 30):.2f}" == "1.00 [0.89, 1.00]"
    assert f"{estimate_mean([[0.0]] * 30):.2f}" == "0.00 [0.00, 0.11]"
    assert f"{estimate_share([[1.0]] * 20 + [[0.0]] * 20):.3f}" == "0.500 [0.352, 0.648]"


def test_near_the_edge_a_share_has_the_interval_of_brown_cai_and_dasgupta():
    estimate = estimate_share([[1.0]] * 19 + [[0.0]])
    assert estimate.low == pytest.approx(0.764, abs=0.001)  # Wilson's
    assert estimate.high == pytest.approx(1 - 0.0513 / 20, abs=0.0001)  # from Poisson's distribution


@pytest.mark.parametrize(("n", "t"), [(9, 2.306), (20, 2.093), (120, 1.980)])
def test_the_mean_of_values_without_skewness_has_students_interval(n, t):
    values = [place - (n - 1) / 2 for place in range(n)]
    estimate = estimate_mean([[value] for value in values])
    assert estimate.high == pytest.approx(t * statistics.stdev(values) / n**0.5, rel=0.001)
    assert estimate.low == pytest.approx(-estimate.high)


@pytest.mark.parametrize(
    ("t", "degrees", "p"),
    [(0.0, 4, 1.0), (2.776445, 4, 0.05), (-2.776445, 4, 0.05), (12.7062, 1, 0.05), (4.604095, 4, 0.01)],
)
def test_the_p_of_a_t_test_is_that_of_the_tables(t, degrees, p):
    assert student_beyond(t, degrees) == pytest.approx(p, abs=1e-5)


def test_the_interval_of_skewed_values_reaches_farther_to_the_long_side():
    skewed = estimate_mean([[float(2**n)] for n in range(12)])
    assert skewed.high - skewed.mean > 1.3 * (skewed.mean - skewed.low)


def test_few_conversations_show_their_counts():
    assert f"{estimate_mean([[1.0]] * 4 + [[0.0]]):.2f}" == "4 of 5"
    assert f"{estimate_share([[1.0, 1.0], [1.0, 0.0]]):.0%}" == "3 of 4"
    better = [[(0, 1)], [(0, 1)], [(1, 0)], [(1, 1)]]
    assert f"{estimate_difference(better):+.2f}" == "+0.25 (2 up, 1 down of 4)"
    assert f"{estimate_amount([[1.5], [2.5]]):.2f}" == "2.00 (n=2)"
    assert f"{estimate_amount([[1.5, 3.5], [2.5]]):.2f}" == "2.50 (n=3 of 2 chats)"
    assert f"{estimate_mean([[0.5], [1.0]] * 7):.2f}" == "0.75 (n=14)"  # of values on a grid it takes 15
    assert estimate_mean([[0.5], [1.0], [0.0]] * 5).low is not None


def test_a_reward_is_no_count_even_where_it_happens_to_be_0_or_1():
    assert f"{estimate_score([[1.0], [1.0], [0.0]]):.2f}" == "0.67 (n=3)"
    assert f"{estimate_score([[1.0, 0.0], [-1.0]]):.2f}" == "0.00 (n=3 of 2 chats)"
    assert f"{estimate_mean([[1.0], [0.0], [-1.0]]):.2f}" == "0.00 (n=3)"
    assert f"{estimate_score_difference([[(0, 1)], [(1, 0)], [(1, 1)]]):+.2f}" == "+0.00 (n=3)"
    assert f"{estimate_score_difference([[(0, 0.5)], [(1, 0.5)]]):+.2f}" == "+0.00 (n=2)"


def test_rewards_that_happen_to_be_0_or_1_have_the_interval_of_a_share():
    rewards = [[1.0]] * 20 + [[0.0]] * 20
    assert f"{estimate_score(rewards):.3f}" == f"{estimate_share(rewards):.3f}"
    pairs = [[(0, 1)]] * 12 + [[(1, 0)]] * 2 + [[(1, 1)]] * 36
    assert f"{estimate_score_difference(pairs):.3f}" == f"{estimate_difference(pairs):.3f}" == "0.200 [0.061, 0.345]"


def test_one_conversation_gives_no_interval():
    estimate = estimate_mean([[1.0, 2.0, 3.0]])
    assert (estimate.mean, estimate.low, estimate.high) == (2.0, None, None)


def test_values_without_spread_give_no_interval_but_say_so():
    assert f"{estimate_mean([[0.5], [0.5, 0.5], [0.5]] * 5):.2f}" == "0.50 (all 20 equal)"
    assert f"{estimate_amount([[1.0]] * 30):.2f}" == "1.00 (all 30 equal)"  # exchanges, say: no share
    assert f"{estimate_amount([[0.1 + 0.2 - 0.3 + 7]] * 12 + [[7.0]]):.2f}" == "7.00 (all 13 equal)"
    assert f"{estimate_amount([[1.0, 2.0]] * 12):.2f}" == "1.50 (all chats equal)"


def test_two_bots_that_never_differ_may_yet_differ():
    estimate = estimate_difference([[(1, 1)]] * 30)
    assert estimate.mean == 0
    assert (estimate.low, estimate.high) == (pytest.approx(-0.1135, abs=0.001), pytest.approx(0.1135, abs=0.001))


def test_a_paired_difference_of_shares_has_the_interval_of_tango():
    """Of 50 pairs 12 and 2 differ; the ends by maximising the likelihood numerically under each difference."""
    estimate = estimate_paired_share([[1.0]] * 12 + [[-1.0]] * 2 + [[0.0]] * 36)
    assert estimate.mean == pytest.approx(0.2)
    assert (estimate.low, estimate.high) == (pytest.approx(0.0611124), pytest.approx(0.3447087))


@pytest.mark.parametrize("value", [inf, -inf, nan])
def test_a_value_that_is_not_finite_gives_no_figure(value):
    estimate = estimate_mean([[0.5]] * 20 + [[value]])
    assert (estimate.low, estimate.high) == (None, None)
    assert f"{estimate:.2f}" == "- (not finite, n=21)"
    assert estimate.to_dict()["mean"] is None


def test_values_whose_squares_are_infinite_give_no_figure():
    assert f"{estimate_mean([[1e308], [-1e308], [1e200]] * 5):.2f}" == "- (not finite, n=15)"


def test_nothing_gives_nothing():
    for estimate in (
        estimate_mean,
        estimate_amount,
        estimate_score,
        estimate_share,
        estimate_difference,
        estimate_score_difference,
        estimate_paired_share,
    ):
        assert estimate([]) is None
        assert estimate([[], []]) is None
    assert estimate_auc({}, {"a": [1.0]}) is None
    assert estimate_correlation([]) is None


@pytest.mark.parametrize("draw", [lambda rng: rng.gauss(1, 1), lambda rng: rng.expovariate(1.0)])
@pytest.mark.parametrize("n", [10, 30])
def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says(draw, n):
    rng, covered, trials = random.Random(1), 0, 1500
    for _ in range(trials):
        estimate = estimate_mean([[draw(rng)] for _ in range(n)])
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.93 <= covered / trials <= 0.97


@pytest.mark.parametrize("n", [8, 20])
def test_the_interval_of_a_share_of_alike_turns_covers_the_truth_as_often_as_it_says(n):
    rng, coverages, trials = random.Random(2), [], 1000
    for share in (0.5, 0.7, 0.9, 0.95, 0.98):
        covered = 0
        for _ in range(trials):
            moods = (rng.betavariate(share, 1 - share) for _ in range(n))
            estimate = estimate_share(
                [[float(rng.random() < mood) for _ in range(rng.randint(1, 8))] for mood in moods]
            )
            covered += estimate.low <= share <= estimate.high
        coverages.append(covered / trials)
    assert min(coverages) >= 0.9
    assert 0.93 <= statistics.fmean(coverages) <= 0.97


def test_turns_of_one_conversation_count_as_one_witness():
    rng = random.Random(2)
    means = [rng.gauss(0, 1) for _ in range(20)]
    alone, repeated = (estimate_mean([[mean] * n for mean in means]) for n in (1, 10))
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low, rel=0.01)
    alone, repeated = (estimate_share([[float(n < 15)] * times for n in range(20)]) for times in (1, 10))
    assert (alone.low, alone.high) == (pytest.approx(repeated.low), pytest.approx(repeated.high))


def test_turns_that_differ_within_conversations_count_each():
    assert estimate_share([[1.0, 0.0]] * 20).low == pytest.approx(estimate_share([[1.0], [0.0]] * 20).low)


def test_a_paired_difference_is_sharper_than_two_means():
    rng = random.Random(3)
    before = [rng.gauss(0, 1) for _ in range(40)]
    after = [value + 0.1 + rng.gauss(0, 0.05) for value in before]
    difference = estimate_difference([[pair] for pair in zip(before, after, strict=True)])
    assert 0 < difference.low < 0.1 < difference.high < 0.15
    apart = estimate_mean([[value] for value in before])
    assert apart.high - apart.low > 5 * (difference.high - difference.low)


def test_the_same_values_give_the_same_interval():
    groups = [[float(n % 7)] for n in range(25)]
    assert estimate_mean(groups) == estimate_mean(groups)


def test_an_aucs_interval_has_a_width_where_all_positives_are_above_all_negatives():
    few, many = ({str(n): [float(n)] for n in range(start, start + 20)} for start in (0, 100))
    auc = estimate_auc(many, few)
    assert auc.mean == auc.high == 1.0
    assert 0.6 < auc.low < 0.95
    assert f"{estimate_auc({'a': [1.0]}, few):.2f}" == "0.07 (1 against 20)"


def test_a_correlation_of_points_on_a_line_has_no_interval():
    assert f"{estimate_correlation([[(n, 2.0 * n)] for n in range(20)]):.2f}" == "1.00 (all 20 on a line)"
    assert f"{estimate_correlation([[(n, n % 3)] for n in range(4)]):.2f}" == "0.13 (n=4)"
    outlier = [[(0.0, 0.0)]] * 15 + [[(1.0, 1.0)], [(1.0, 0.9)]]
    assert f"{estimate_correlation(outlier):.2f}" == "1.00 (on a line but for one of 17 chats)"


@pytest.mark.parametrize(
    ("low", "high", "spec", "written"),
    [
        (0.9971, 0.9999, ".2f", "0.999 [0.997, 1.000]"),
        (0.4, 0.6, ".2f", "0.50 [0.40, 0.60]"),
        (0.99971, 0.99999, ".0%", "100% [99.97%, 100.00%]"),
        (-0.0001, 0.0001, "+.2f", "+0.00 [-0.0001, +0.0001]"),
    ],
)
def test_ends_that_would_look_alike_get_more_digits(low, high, spec, written):
    mean = (low + high) / 2
    shown = f"{Estimate(mean=mean, low=low, high=high, n=9):{spec}}"
    assert shown.partition(" ")[2] == written.partition(" ")[2]


def test_no_zero_has_a_minus_sign():
    assert f"{Estimate(mean=-0.04, low=-0.08, high=-0.001, n=36):+.2f}" == "-0.04 [-0.08, 0.00]"
    assert f"{Estimate(mean=-0.001, low=-0.08, high=0.07, n=36):.1%}" == "-0.1% [-8.0%, 7.0%]"
    assert f"{Estimate(mean=-0.001, low=None, high=None, n=3, note='n=3'):.2f}" == "0.00 (n=3)"


def test_figures_side_by_side_come_with_a_word_on_many_comparisons():
    one = Estimate(mean=0.5, low=0.4, high=0.6, n=30)
    assert said_of_many([one, None, Estimate(mean=0.5, low=None, high=None, n=3)]) == ""
    assert "of 40 such, about 2 will miss by chance" in said_of_many([one] * 40)
