"""Which rows of a task are taken: limits, what is skipped, shuffles, and equal shares of kinds."""

import pytest

from collab_sdk import Conversation
from collab_sdk.errors import UsageError
from collab_sdk.tasks import Selection, Task

PLAIN = Task(name="plain", metric=None, read=lambda row: row)
OF_KINDS = Task(name="kinds", metric=None, read=lambda row: row, kinds="ambiguous")


def rows(n, ambiguous=()):
    return [Conversation(id=f"row-{i}", messages=(), metadata={"ambiguous": i in ambiguous}) for i in range(n)]


def taken(task, found, **choice):
    return [row.id for row in Selection(**choice).of(found, task)]


def test_a_limit_takes_the_first_rows_and_reads_no_more():
    read = []
    source = (read.append(row) or row for row in rows(9))
    assert taken(PLAIN, source, limit=2, skip=1) == ["row-1", "row-2"]
    assert len(read) == 3


def test_kinds_are_taken_in_turn_as_long_as_there_are_any():
    found = rows(8, ambiguous=(0, 1, 2, 3, 4))
    assert taken(OF_KINDS, found, limit=4) == ["row-0", "row-5", "row-1", "row-6"]
    assert taken(OF_KINDS, found, limit=8)[6:] == ["row-3", "row-4"]
    assert taken(OF_KINDS, found) == [row.id for row in found], "without a limit the file's order stays"


def test_what_one_command_skips_is_what_the_other_took():
    found = rows(20, ambiguous=(0, 1, 2, 3, 4))
    for shuffle in (False, True):
        first = taken(OF_KINDS, found, limit=6, shuffle=shuffle, seed=3)
        rest = taken(OF_KINDS, found, skip=6, shuffle=shuffle, seed=3)
        assert sorted(first + rest) == sorted(row.id for row in found)


def test_a_shuffle_goes_by_seed_and_id_so_that_a_lost_row_moves_no_other():
    found = rows(30)
    order = taken(PLAIN, found, shuffle=True, seed=1)
    assert order == taken(PLAIN, reversed(found), shuffle=True, seed=1)
    assert order != taken(PLAIN, found, shuffle=True, seed=2)
    assert sorted(order) == sorted(row.id for row in found)
    lost = [row for row in found if row.id != order[0]]
    assert taken(PLAIN, lost, shuffle=True, seed=1) == order[1:]


@pytest.mark.parametrize("choice", [{"limit": 0}, {"skip": -1}])
def test_a_limit_or_skip_that_is_none_is_refused(choice):
    with pytest.raises(UsageError, match="at least 1 and 0"):
        Selection(**choice)
