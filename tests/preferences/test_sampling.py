import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_sdk.errors import UsageError
from collab_sdk.preferences import Noise
from collab_sdk.preferences.sampling import SamplingRule

REWARD = st.none() | st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-2, 2)
STREAMS = st.lists(st.lists(REWARD, min_size=12, max_size=12), min_size=2, max_size=5)
NOISE = Noise.of(
    [[[0.9, 0.6], [0.2, 0.4], [0.5, 0.5]], [[0.1, 0.3], [0.8, 0.9], [0.2, 0.0]], [[0.5, 0.7], [0.6, 0.5], [0.1, 0.2]]]
    * 10
)
RULES = st.builds(
    lambda cycle, rounds, price: SamplingRule(
        first=cycle, ceiling=cycle * (1 + rounds), cycle=cycle, noise=NOISE, price=price
    ),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.001, 0.01, 0.1]),
)


def rule(**options) -> SamplingRule:
    return SamplingRule(**{"first": 1, "ceiling": 9, "noise": NOISE, "price": 0.02} | options)


def play(rule: SamplingRule, streams: list[list[float | None]]) -> tuple[list[list[float | None]], list[list[int]]]:
    """What the rule has drawn from each candidate's stream when it is done, and the batches it asked for."""
    drawn: list[list[float | None]] = [[] for _ in streams]
    batches = []
    while any(batch := rule.next_batch(drawn)):
        batches.append(batch)
        drawn = [stream[: len(known) + more] for stream, known, more in zip(streams, drawn, batch, strict=True)]
    return drawn, batches


@given(RULES, STREAMS)
def test_it_ends_and_every_candidate_meets_all_goals_equally_often(rule, streams):
    drawn, _ = play(rule, streams)
    assert all(rule.first <= len(rewards) <= rule.ceiling for rewards in drawn)
    assert not any(len(rewards) % rule.cycle for rewards in drawn)


def test_every_candidate_gets_the_first_futures_at_once():
    assert rule(first=2).next_batch([[], [], []]) == [2, 2, 2]


def test_an_order_that_is_sure_gets_no_more():
    assert rule().next_batch([[1.9, 1.8], [0.5, 0.6], [0.1, 0.2]]) == [0, 0, 0]


def test_the_two_whose_order_is_surest_get_a_whole_cycle_and_what_lies_between_gets_none():
    assert rule().next_batch([[0.65], [0.5], [0.4]]) == [1, 0, 1]
    assert rule(first=3, cycle=3).next_batch([[0.5] * 3, [0.47] * 3, [0.4] * 3]) == [3, 0, 3]


def test_what_would_cost_more_than_pairs_cost_elsewhere_is_left():
    assert rule(price=0.4).next_batch([[0.5], [0.45], [0.4]]) == [0, 0, 0]
    assert rule(price=0.0).next_batch([[0.65], [0.5], [0.4]]) == [0, 0, 0]


def test_where_nothing_is_known_of_noise_only_the_first_are_played():
    assert SamplingRule(first=3, ceiling=3).next_batch([[0.5] * 3, [0.1] * 3]) == [0, 0]


def test_a_failed_future_counts_and_is_not_replaced():
    assert rule(ceiling=2).next_batch([[0.8, None], [0.3, None]]) == [0, 0]
    assert rule(first=2).next_batch([[None, None], [0.4, 0.5]]) == [0, 0]


@pytest.mark.parametrize("options", [{"first": 0}, {"first": 3, "ceiling": 2}, {"cycle": 0}])
def test_an_impossible_rule_is_refused(options):
    with pytest.raises(UsageError):
        rule(**options)
