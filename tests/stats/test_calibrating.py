"""The line through simulated and observed rewards, and the mean that both give together."""

import random
from dataclasses import replace

import pytest

from collab_sdk.stats import Measured, estimate_together, fit_line


def turns(n, *, slope=1.0, between=0.25, within=0.3, samples=3, each=1, share=1.0, seed=0, far=0.0):
    """`n` turns by conversation, `each` turns long; a share of them is observed."""
    rng, groups = random.Random(seed), []
    for turn in range(n):
        worth = rng.gauss(far, between)
        observed = rng.gauss(far + slope * (worth - far), within)
        made = Measured(
            simulated=rng.gauss(worth, within / samples**0.5),
            variance=within**2 / samples,
            observed=observed if rng.random() < share else None,
        )
        if turn % each == 0:
            groups.append([])
        groups[-1].append(made)
    return groups


@pytest.mark.parametrize("slope", [1.0, 0.5, 0.0, -1.0])
@pytest.mark.parametrize("samples", [1, 3, 9])
def test_the_line_has_the_slope_of_what_the_means_are_means_of(slope, samples):
    line = fit_line(turns(4000, slope=slope, samples=samples, each=3))
    assert line.slope.mean == pytest.approx(slope, abs=0.12)
    assert line.slope.low < slope < line.slope.high


def test_a_line_far_from_zero_is_the_same_line():
    near, far = (fit_line(turns(300, far=each)) for each in (0.0, 1e6))
    assert far.slope.mean == pytest.approx(near.slope.mean, rel=1e-4)
    assert far.slope.high == pytest.approx(near.slope.high, rel=1e-3)


def test_means_that_differ_by_chance_alone_have_no_interval_for_their_slope():
    line = fit_line(turns(60, between=0.0, seed=3))
    assert line is None or line.slope.low is None


def test_with_few_conversations_there_is_a_count_and_no_interval():
    slope = fit_line(turns(36, each=4)).slope
    assert (slope.low, slope.note) == (None, "n=36 of 9 chats")
    together = estimate_together(turns(36, each=4))
    assert (together.low, together.note) == (None, "n=36 of 9 chats")


def test_points_on_one_line_have_no_interval():
    exact = [[Measured(simulated=n, variance=0.0, observed=2.0 * n)] for n in range(20)]
    assert (fit_line(exact).slope.mean, fit_line(exact).slope.low) == (pytest.approx(2.0), None)


def test_where_nothing_is_observed_there_is_neither():
    unknown = turns(50, share=0.0)
    assert fit_line(unknown) is None
    assert estimate_together(unknown) is None
    assert estimate_together([]) is None


def test_where_all_is_observed_the_mean_is_that_of_the_observed():
    groups = turns(60, each=2)
    observed = [turn.observed for group in groups for turn in group]
    together = estimate_together(groups)
    assert together.mean == pytest.approx(sum(observed) / 60)
    assert together.low < together.mean < together.high


def test_simulated_futures_of_other_turns_narrow_what_the_observed_ones_tell():
    groups = turns(1000, between=1.0, share=0.1)
    known = [[turn for turn in group if turn.observed is not None] for group in groups]
    together, alone = estimate_together(groups), estimate_together(known)
    assert together.high - together.low < 0.7 * (alone.high - alone.low)


def test_a_simulator_that_is_wrong_by_as_much_everywhere_changes_nothing():
    groups = turns(200, share=0.3)
    wrong = [[replace(turn, simulated=turn.simulated + 5) for turn in group] for group in groups]
    assert estimate_together(wrong).mean == pytest.approx(estimate_together(groups).mean)


@pytest.mark.parametrize("each", [1, 4])
def test_the_intervals_hold_the_truth(each):
    held = {"slope": [], "mean": []}
    for seed in range(300):
        groups = turns(100, each=each, share=0.5, seed=seed)
        line, together = fit_line(groups), estimate_together(groups)
        if line is not None and line.slope.low is not None:
            held["slope"].append(line.slope.low <= 1.0 <= line.slope.high)
        held["mean"].append(together.low <= 0.0 <= together.high)
    assert len(held["slope"]) > 100
    for name, hits in held.items():
        assert 0.91 <= sum(hits) / len(hits) <= 0.995, name
