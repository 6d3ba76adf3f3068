"""What a conversation is as tokens, and what each of them was worth."""

import pytest
import torch
from collab_trl.online.player import as_one_sequence
from collab_trl.online.policy import Spoken
from collab_trl.online.ppo import GAMMA, LAMBDA, advantages_and_returns, clipped_value_loss, normalised
from hypothesis import given
from hypothesis import strategies as st

from collab_sdk.evaluation.questions import has_question_mark

TOKENS = st.lists(st.integers(0, 50), min_size=1, max_size=6)


@st.composite
def conversations(draw):
    """Turns whose prompts go on from all that was said."""
    so_far = draw(TOKENS)
    turns = []
    for _ in range(draw(st.integers(1, 4))):
        reply = draw(TOKENS)
        turns.append(Spoken(prompt=so_far, reply=reply))
        so_far = [*so_far, *reply, *draw(TOKENS)]
    return turns


@given(conversations())
def test_a_conversation_is_one_sequence_in_which_the_policys_own_words_are_marked(turns):
    prompt, completion, mask = as_one_sequence(turns)
    assert prompt == turns[0].prompt
    assert len(completion) == len(mask)
    own = [token for token, is_own in zip(completion, mask, strict=True) if is_own]
    assert own == [token for turn in turns for token in turn.reply]
    assert [*prompt, *completion] == [*turns[-1].prompt, *turns[-1].reply]


@given(conversations(), st.integers(0, 3))
def test_it_ends_before_a_turn_that_does_not_go_on_from_it(turns, place):
    drifted = [
        Spoken(prompt=[99, *turn.prompt], reply=turn.reply) if number == place and number else turn
        for number, turn in enumerate(turns)
    ]
    expected = as_one_sequence(turns[: max(place, 1)]) if 0 < place < len(turns) else as_one_sequence(turns)
    assert as_one_sequence(drifted) == expected


@given(st.lists(st.tuples(st.floats(-2, 2), st.booleans()), min_size=1, max_size=8), st.floats(-1, 1))
def test_advantages_are_those_of_the_textbook_over_the_policys_own_tokens(tokens, reward):
    values = torch.tensor([[value for value, _ in tokens]], dtype=torch.float64)
    mask = torch.tensor([[int(own) for _, own in tokens]])
    advantages, returns = advantages_and_returns(torch.tensor([reward], dtype=torch.float64), values, mask)
    own = [value for value, is_own in tokens if is_own]
    expected, carried = [], 0.0
    for number in reversed(range(len(own))):
        gain = reward if number == len(own) - 1 else GAMMA * own[number + 1]
        carried = gain - own[number] + GAMMA * LAMBDA * carried
        expected.insert(0, carried)
    found = [float(advantage) for advantage, is_own in zip(advantages[0], mask[0], strict=True) if is_own]
    assert found == pytest.approx(expected)
    assert [float(value) for value, is_own in zip(returns[0], mask[0], strict=True) if is_own] == pytest.approx(
        [advantage + value for advantage, value in zip(expected, own, strict=True)]
    )
    assert not advantages[mask == 0].any()


def test_normalised_advantages_have_mean_nothing_and_deviation_one_where_the_policy_spoke():
    mask = torch.tensor([[1, 0, 1], [1, 1, 0]])
    found = normalised(torch.tensor([[1.0, 9.0, 2.0], [3.0, 4.0, 9.0]]), mask)
    spoken = found[mask.bool()]
    assert float(spoken.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(spoken.pow(2).mean().sqrt()) == pytest.approx(1.0, abs=1e-4)
    assert not found[mask == 0].any()


def test_a_value_that_runs_ahead_of_the_clip_gains_nothing_by_it():
    before, returns, mask = torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1)

    def loss(value):
        return float(clipped_value_loss(torch.tensor([[value]]), before=before, returns=returns, mask=mask, clip=0.2))

    assert loss(0.1) > loss(0.2) == pytest.approx(loss(0.9))


@pytest.mark.parametrize(("text", "is_question"), [("Which size?", True), ("哪种？", True), ("Sure; done.", False)])
def test_a_reply_asks_if_it_has_a_question_mark_of_any_script(text, is_question):
    assert has_question_mark(text) is is_question
