import json

import pytest
from support.fakes import chat, judged, scorer_of

from collab_sdk import Conversation, Goal, PreferenceExporter
from collab_sdk.errors import ModelCallError
from collab_sdk.messages import as_messages
from collab_sdk.preferences import Noise, Refusal, choose_pair
from collab_sdk.spec import PairRule
from collab_sdk.types import Future, MRScore

NOISE = Noise.of([[[1.0, 0.9, 1.1], [0.1, 0.2, 0.0], [0.5, 0.6, 0.5]]] * 20)


def score(name, *rewards):
    futures = tuple(
        Future(sample=n, reward=reward) if reward is not None else Future(sample=n, error="lost")
        for n, reward in enumerate(rewards)
    )
    known = [reward for reward in rewards if reward is not None]
    value = sum(known) / len(known) if known else None
    return MRScore(response=as_messages(chat("", name)[1:]), futures=futures, value=value, stderr=None)


def test_the_two_whose_order_is_surest_are_chosen_with_a_shrunk_margin():
    found = choose_pair([score("a", 0.1, 0.0), score("b", 0.9, 1.0), score("c", 0.5, 0.6)], PairRule(), NOISE)
    assert (found.chosen.text, found.rejected.text) == ("b", "a")
    assert 0.8 < found.margin < 0.9
    assert 0.95 < found.confidence < 1


@pytest.mark.parametrize(
    ("scores", "refusal"),
    [
        ([score("a", 0.5)], Refusal.ONE_CANDIDATE),
        ([score("a", 0.5), score("b", None)], Refusal.UNSCORED),
        ([score("a", 0.5, 0.5), score("b", 0.5, 0.5)], Refusal.MARGIN),
        ([score("a", 0.9, 0.2), score("b", 0.3, 0.6)], Refusal.NOISE),
        ([score("a", 0.5, None), score("b", None, 0.1)], Refusal.NOISE),
        ([score("a", 0.9, None, None), score("b", 0.1, 0.1, 1.0)], Refusal.MISSING),
    ],
)
def test_a_turn_without_a_sure_order_says_why(scores, refusal):
    assert choose_pair(scores, PairRule(), NOISE) is refusal


def test_one_future_of_each_response_makes_no_order_sure():
    turn = [score("a", 0.9), score("b", 0.1)]
    noise = Noise.of([[[0.9], [0.1]]] * 9)
    assert choose_pair(turn, PairRule(), noise) is Refusal.NOISE
    assert choose_pair(turn, PairRule(min_confidence=0), noise).chosen.text == "a"


def test_without_a_confidence_asked_for_best_stands_against_worst_by_the_raw_margin():
    rule = PairRule(min_confidence=0, fixed_samples=True)
    found = choose_pair([score("a", 0.9, 0.2), score("b", 0.3, 0.6)], rule, Noise.of([]))
    assert (found.chosen.text, found.margin, found.confidence) == ("a", None, None)


def test_a_pair_says_how_many_futures_of_each_side_are_missing(tmp_path):
    def judge(request):
        text = request.messages[-1].content
        if "a tea" in text and "Which one?" not in text and "future-1" in text:
            return ModelCallError("no judgement")
        return judged(0.9 if "Which one?" in text else 0.2)

    scorer = scorer_of(
        assistant=lambda request: "Which one?" if "candidate" in request.sample else f"Here, {request.sample}.",
        judge=judge,
        metrics={"goal": 1.0},
    )
    logged = [
        Conversation(id=f"c{n}", messages=as_messages(chat(said, "Here.")), goal=Goal(text="mocha"))
        for n, said in enumerate(["a coffee", "a coffee, quick", "a coffee, please", "a tea"])
    ]
    PreferenceExporter(scorer, candidates=2).export(logged, tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [(row.get("missing_chosen"), row.get("missing_rejected")) for row in rows] == [(None, None)] * 3 + [(0, 1)]
