"""What the method promises, on the embedded stand-in (the paper's figure 6 in words)."""

import pytest

from collab_sdk import Engine, MRScorer, Rollout, Simulator

AMBIGUOUS = {
    "coffee": (
        "Can I get a coffee?",
        "Here you are: a latte, enjoy!",
        "What kind, which milk, and is it for here or to go?",
        "drink: mocha\nmilk: oat milk\norder type: to go",
    ),
    "essay": (
        "Write me an essay about optimism.",
        "Done: your essay about optimism, formal, 800 words.",
        "Before I start: which tone, what length, and who will read it?",
        "topic: optimism\ntone: informal\nlength: 400 words\naudience: students",
    ),
}
CLEAR = {
    "coffee": (
        "A large mocha with oat milk, to go, please.",
        "A large mocha with oat milk, to go: coming up.",
        "What size would you like, and which milk?",
        "drink: mocha\nsize: large\nmilk: oat milk\norder type: to go",
    )
}


def best(request: str, replies: list[str], goal: str, *, window: int) -> str:
    simulator = Simulator("offline", engine=Engine())
    scorer = MRScorer(Rollout(assistant="offline", simulator=simulator, window=window))
    ranked = scorer.rank([{"role": "user", "content": request}], replies, goal=goal)
    assert float(ranked[0]) > float(ranked[1])
    return ranked[0].text


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_on_an_ambiguous_request_a_question_beats_a_complete_looking_answer_and_window_0_ranks_the_other_way(name):
    request, answer, question, goal = AMBIGUOUS[name]
    assert best(request, [answer, question], goal, window=2) == question
    assert best(request, [answer, question], goal, window=0) == answer


@pytest.mark.parametrize("name", CLEAR)
def test_on_a_clear_request_acting_beats_asking(name):
    request, answer, question, goal = CLEAR[name]
    assert best(request, [question, answer], goal, window=2) == answer
