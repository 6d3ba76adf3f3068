"""Means with intervals, over turns that come in conversations."""

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collab_sdk.stats.bootstrap import estimate_mean

values = st.floats(-1e6, 1e6)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(values, max_size=4), max_size=8))
def test_an_interval_holds_within_what_was_seen(groups):
    seen = [value for group in groups for value in group]
    estimate = estimate_mean(groups, resamples=200)
    if not seen:
        assert estimate is None
        return
    assert estimate.n == len(seen)
    assert estimate.mean == pytest.approx(statistics.fmean(seen), abs=1e-6)
    if estimate.low is not None:
        assert min(seen) - 1e-6 <= estimate.low <= estimate.high <= max(seen) + 1e-6


def test_one_conversation_gives_no_interval():
    estimate = estimate_mean([[1.0, 2.0, 3.0]])
    assert (estimate.mean, estimate.low, estimate.high) == (2.0, None, None)


def test_conversations_that_agree_leave_no_doubt():
    estimate = estimate_mean([[0.5], [0.5, 0.5], [0.5]])
    assert (estimate.low, estimate.high) == (0.5, 0.5)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng, covered, trials = random.Random(1), 0, 200
    for _ in range(trials):
        groups = [[rng.expovariate(1.0)] for _ in range(30)]
        estimate = estimate_mean(groups, resamples=300)
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.88 <= covered / trials <= 0.98


def test_turns_of_one_conversation_count_as_one_witness():
    rng = random.Random(2)
    means = [rng.gauss(0, 1) for _ in range(20)]
    alone, repeated = (estimate_mean([[mean] * n for mean in means]) for n in (1, 10))
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low, rel=0.01)


def test_a_paired_difference_is_sharper_than_two_means():
    rng = random.Random(3)
    before = [rng.gauss(0, 1) for _ in range(40)]
    after = [value + 0.1 + rng.gauss(0, 0.05) for value in before]
    difference = estimate_mean([[b - a] for a, b in zip(before, after, strict=True)])
    assert 0 < difference.low < 0.1 < difference.high < 0.15
    apart = estimate_mean([[value] for value in before])
    assert apart.high - apart.low > 5 * (difference.high - difference.low)


def test_the_same_values_give_the_same_interval():
    groups = [[float(n % 7)] for n in range(25)]
    assert estimate_mean(groups) == estimate_mean(groups)
