import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_sdk.preferences import Noise

REWARD = st.none() | st.sampled_from([0.0, 0.5, 1.0, 1e300, -1e300, math.inf, math.nan]) | st.floats(-2, 2)
TURN = st.lists(st.lists(REWARD, max_size=4), max_size=4)


def turns(number, *, candidates=3, futures=3, between=0.15, within=0.25, common=0.0, seed=0):
    """True means and rewards; `common` is the deviation of what all candidates share in a sample."""
    rng = random.Random(seed)
    for _ in range(number):
        means = [rng.gauss(0, between) for _ in range(candidates)]
        shared = [rng.gauss(0, common) for _ in range(futures)]
        yield means, [[mean + draw + rng.gauss(0, within) for draw in shared] for mean in means]


def kept(noise, played, confidence=0.9):
    """By turn with a sure order: the order, and by how much its first is truly better."""
    for means, rewards in played:
        order = noise.order(rewards)
        if order is not None and order.confidence >= confidence:
            yield order, means[order.chosen] - means[order.rejected]


def test_what_is_pooled_is_how_much_futures_vary_and_how_far_candidates_differ():
    noise = Noise.of(rewards for _, rewards in turns(2000))
    assert noise.within == pytest.approx(0.25**2, rel=0.1)
    assert noise.between == pytest.approx(0.15**2, rel=0.25)
    assert (noise.turns, noise.freedom, noise.repeats) == (2000, 2000 * 2 * 2, 2000 * 3 * 2)


def test_of_candidates_that_are_equally_good_no_order_is_sure():
    for seed in range(20):
        played = list(turns(100, between=0.0, seed=seed))
        noise = Noise.of(rewards for _, rewards in played)
        assert sum(1 for _ in kept(noise, played)) <= 10
    assert Noise.of(rewards for _, rewards in turns(100, between=0.0)).cells == ()


def test_sure_orders_are_right_and_their_margins_are_what_another_draw_shows():
    played = list(turns(3000))
    found = list(kept(Noise.of(rewards for _, rewards in played), played))
    assert len(found) > 500
    wrong = sum(true <= 0 for _, true in found) / len(found)
    assert wrong < 0.05
    reported = sum(order.margin for order, _ in found)
    assert reported == pytest.approx(sum(true for _, true in found), rel=0.1)


def test_what_all_candidates_share_in_a_sample_is_no_difference_between_them():
    noise = Noise.of(rewards for _, rewards in turns(500, within=0.05, common=1.0))
    assert noise.within == pytest.approx(0.05**2, rel=0.15)
    order = noise.order([[0.2, 2.2, 0.7], [0.6, 2.6], [0.25, 2.3, 0.8]])
    assert (order.chosen, order.confidence > 0.99) == (1, True)


def test_futures_that_never_varied_are_no_certainty():
    one = [[0.9, 0.9], [0.4, 0.4]]
    assert Noise.of([one]).order(one).confidence == pytest.approx(1 - 0.5 / 3)
    assert 0.99 < Noise.of([one] * 50).order(one).confidence < 1


def test_that_a_guess_suits_one_goal_and_not_another_is_no_noise():
    rng = random.Random(0)

    def turn(rounds):
        guess, question = [1.0, 0.0, 0.0] * rounds, [0.7] * 3 * rounds
        return [[reward + rng.gauss(0, 0.05) for reward in side] for side in (guess, question)]

    played = [turn(2) for _ in range(30)]
    by_goal, together = Noise.of(played, [3] * 30), Noise.of(played)
    assert by_goal.within == pytest.approx(0.05**2, rel=0.4)
    assert together.within > 0.1
    order = by_goal.order(turn(1), goals=3)
    assert (order.chosen, order.confidence > 0.98) == (1, True)
    assert order.margin == pytest.approx(0.7 - 1 / 3, abs=0.1)


def test_a_turn_that_varies_more_than_others_needs_more_to_be_sure():
    calm, wild = [[0.5, 0.52], [0.1, 0.12]], [[0.9, 0.1], [0.0, 0.2]]
    noise = Noise.of([calm, [[0.2, 0.21], [0.5, 0.5]], [[0.3, 0.3], [0.6, 0.61]]] * 8 + [wild] * 2)
    assert noise.steadiness < 100
    assert noise.order(wild).confidence < noise.order(calm).confidence


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [[[0.5]]],
        [[[0.5], [0.9]]],
        [[[0.5, 0.5], [0.5, 0.5]]] * 9,
        [[[None, None], [0.4, 0.9]]],
        [[[math.inf, math.inf], [0.4, math.nan]]],
        [[[1e300, -1e300], [1e300, 0.0]]],
        [[[0.3, None], [0.1, None], [None, 0.7], [None, 0.2]]],
    ],
    ids=[
        "nothing",
        "one candidate",
        "one future each",
        "all equal",
        "no pair of futures",
        "no number",
        "infinite",
        "no common sample",
    ],
)
def test_where_data_say_nothing_no_order_is_given(turns):
    noise = Noise.of(turns)
    assert noise.cells == ()
    assert noise.order([[0.9, 0.8], [0.1, 0.2]]) is None


@given(st.lists(TURN, max_size=6), TURN)
def test_whatever_the_rewards_a_confidence_is_a_probability_and_a_margin_a_number(run, turn):
    order = Noise.of(run).order(turn)
    if order is not None:
        assert 0 <= order.confidence < 1
        assert 0 < order.margin < math.inf
        assert 0 <= order.chance(2, confidence=0.9, margin=0.02) <= 1 + 1e-9


@given(st.permutations([[0.9, 0.7], [0.2, 0.4], [0.5, 0.5]]))
def test_the_order_of_the_candidates_does_not_matter(turn):
    noise = Noise.of(rewards for _, rewards in turns(50))
    order = noise.order(turn)
    assert (turn[order.chosen], turn[order.rejected]) == ([0.9, 0.7], [0.2, 0.4])
