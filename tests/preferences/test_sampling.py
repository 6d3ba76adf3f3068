import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_sdk.errors import UsageError
from collab_sdk.preferences.sampling import SamplingRule

REWARD = st.none() | st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-2, 2)
RULES = st.builds(
    lambda first, more, z: SamplingRule(first=first, ceiling=first + more, z=z),
    st.integers(1, 3),
    st.integers(0, 6),
    st.floats(0, 3),
)
STREAMS = st.lists(st.lists(REWARD, min_size=9, max_size=9), min_size=2, max_size=5)


def play(rule: SamplingRule, streams: list[list[float | None]]) -> tuple[list[list[float | None]], list[list[int]]]:
    """What the rule has drawn from each candidate's stream when it is done, and the batches it asked for."""
    drawn: list[list[float | None]] = [[] for _ in streams]
    batches = []
    while any(batch := rule.next_batch(drawn)):
        batches.append(batch)
        drawn = [stream[: len(known) + more] for stream, known, more in zip(streams, drawn, batch, strict=True)]
    return drawn, batches


@given(RULES, STREAMS)
def test_it_ends_and_no_candidate_gets_fewer_than_first_or_more_than_the_ceiling(rule, streams):
    drawn, batches = play(rule, streams)
    assert all(rule.first <= len(rewards) <= rule.ceiling for rewards in drawn)
    assert len(batches) <= 1 + len(streams) * (rule.ceiling - rule.first)


@given(RULES, STREAMS, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(rule, streams, rng):
    order = list(range(len(streams)))
    rng.shuffle(order)
    drawn, _ = play(rule, streams)
    shuffled, _ = play(rule, [streams[i] for i in order])
    assert shuffled == [drawn[i] for i in order]


@given(RULES, STREAMS, st.randoms(use_true_random=False))
def test_the_order_in_which_futures_came_in_does_not_matter(rule, streams, rng):
    drawn, _ = play(rule, streams)
    for rewards in drawn:
        rng.shuffle(rewards)
    assert not any(rule.next_batch(drawn))


def test_every_candidate_gets_the_first_futures_at_once():
    assert SamplingRule().next_batch([[], [], []]) == [2, 2, 2]


def test_best_and_worst_that_are_far_apart_get_no_more():
    assert SamplingRule().next_batch([[0.9, 0.8], [0.5, 0.1], [0.1, 0.2]]) == [0, 0, 0]


def test_best_and_worst_get_more_in_turn_and_what_lies_between_gets_none():
    rule = SamplingRule()
    assert rule.next_batch([[0.1, 0.7], [0.6, 0.4], [0.2, 0.9]]) == [0, 0, 1]
    assert rule.next_batch([[0.1, 0.7], [0.6, 0.4], [0.2, 0.9, 0.6]]) == [1, 0, 0]


def test_a_tie_goes_on_for_all_who_share_it():
    assert SamplingRule().next_batch([[0.2, 0.6], [0.6, 0.2]]) == [1, 1]


def test_futures_that_all_come_out_alike_end_it():
    assert SamplingRule().next_batch([[0.1, 0.1], [0.1, 0.1]]) == [0, 0]


def test_a_failed_future_is_no_reward_and_is_not_replaced():
    rule = SamplingRule(ceiling=3)
    assert rule.next_batch([[None, None], [0.4, 0.5], [None, None]]) == [0, 0, 0]
    assert rule.next_batch([[None, 0.45], [0.4, 0.5]]) == [1, 1]
    assert rule.next_batch([[None, 0.45, None], [0.4, 0.5, 0.45]]) == [0, 0]


def test_a_rule_like_a_fixed_number_is_that_number_where_there_is_no_room_to_adapt():
    assert [play(SamplingRule.like(n, candidates=3), [[0.0, 1.0] * 9] * 3)[0][0] for n in (1, 2)] == [[0.0], [0.0, 1.0]]


@pytest.mark.parametrize(("samples", "candidates"), [(3, 2), (3, 3), (5, 2), (5, 4)])
def test_a_rule_like_a_fixed_number_orders_as_well_with_fewer_futures(samples, candidates):
    rng, rule, turns = random.Random(1), SamplingRule.like(samples, candidates=candidates), 4000
    futures = right = right_fixed = 0
    for _ in range(turns):
        streams = [[rng.gauss(0.3 - 0.07 * i, 0.11) for _ in range(rule.ceiling)] for i in range(candidates)]
        drawn, _ = play(rule, streams)
        futures += sum(map(len, drawn))
        right += is_ordered(drawn)
        right_fixed += is_ordered([stream[:samples] for stream in streams])
    assert futures < 0.95 * turns * samples * candidates
    assert right > right_fixed - 0.02 * turns


def is_ordered(drawn: list[list[float]]) -> bool:
    """Whether the candidate with the higher mean is the one that is better in truth: the one before."""
    means = [sum(rewards) / len(rewards) for rewards in drawn]
    return means.index(max(means)) < means.index(min(means))


@pytest.mark.parametrize("options", [{"first": 0}, {"first": 3, "ceiling": 2}, {"z": -1.0}, {"z": float("nan")}])
def test_an_impossible_rule_is_refused(options):
    with pytest.raises(UsageError):
        SamplingRule(**options)
