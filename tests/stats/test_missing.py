"""What missing values could change about a mean."""

import pytest

from collab_sdk.stats.missing import bounds


def test_a_mean_of_known_values_has_no_room():
    assert bounds([1.0, 2.0], low=-1.0, high=3.0) == (1.5, 1.5)


def test_each_missing_value_counts_at_both_ends_of_the_range():
    assert bounds([1.0, None, 2.0, None], low=-1.0, high=3.0) == (0.25, 2.25)


def test_where_nothing_is_known_the_range_itself_is_all_that_can_be_said():
    assert bounds([None, None], low=-1.0, high=3.0) == (-1.0, 3.0)


@pytest.mark.parametrize(("values", "low"), [([], -1.0), ([1.0], 4.0)])
def test_there_are_no_bounds_without_values_or_without_a_range(values, low):
    with pytest.raises(ValueError, match="no bounds"):
        bounds(values, low=low, high=3.0)
