"""What missing values could change about a mean."""

import pytest

from collab_sdk.stats import MissingTally, difference_bounds

SEEN = MissingTally.of([-1.0, 3.0])
"""Other values, whose range is that of what is missing."""


def test_a_mean_of_known_values_has_no_room():
    assert MissingTally.of([1.0, 2.0]).bounds(SEEN) == (1.5, 1.5)


def test_each_missing_value_counts_at_both_ends_of_the_range():
    assert MissingTally.of([1.0, None, 2.0, None]).bounds(SEEN) == (0.25, 2.25)


def test_where_nothing_is_known_the_range_itself_is_all_that_can_be_said():
    assert MissingTally.of([None, None]).bounds(SEEN) == (-1.0, 3.0)


def test_there_are_no_bounds_without_values_or_without_a_range():
    assert MissingTally().bounds(SEEN) is None
    assert MissingTally.of([1.0, None]).bounds() is None


def test_a_tally_bounds_the_mean_of_the_groups_means_by_what_was_seen():
    tally = MissingTally()
    for group in ([1.0, None], [0.0, 0.5], []):
        tally.add(group)
    assert (tally.missing, tally.low, tally.high) == (2, 0.0, 1.0)
    assert tally.bounds() == pytest.approx((0.75 / 3, (1.0 + 0.25 + 1.0) / 3))


def test_a_tally_that_knows_nothing_has_no_bounds_and_another_may_lend_its_range():
    known, unknown = MissingTally(), MissingTally()
    unknown.add([None])
    assert unknown.bounds() is None
    known.add([2.0, 2.0])
    assert unknown.bounds(known) is None  # values that are all the same tell of no range
    known.add([0.0])
    assert unknown.bounds(known) == (0.0, 2.0)


def test_a_difference_is_bounded_by_the_far_ends_of_both():
    assert difference_bounds((1.0, 2.0), (0.5, 3.0)) == (-2.0, 1.5)
