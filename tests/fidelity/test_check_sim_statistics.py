"""The statistics of a check of the simulator, recomputed by hand."""

import json
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import chat, judged, scorer_of, user_says

from collab_sdk import ChatRequest, Conversation, Goal
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import ModelCallError
from collab_sdk.fidelity import SimulatorCheck, check_row, user_statistics, user_turns
from collab_sdk.messages import as_messages
from collab_sdk.prompts import unfence
from collab_sdk.stats import estimate_auc, estimate_correlation


def conversation(name: str, goal: str, *texts: str) -> Conversation:
    return Conversation(id=name, messages=as_messages(chat(*texts)), goal=Goal(text=goal))


ASKED = conversation(
    "asked",
    "drink: mocha\nmilk: oat\norder type: to go",
    *("a mocha please", "Which milk, oat or whole?", "oat", "For here?", "to go pls", "Done."),
)
LEFT = conversation("left", "drink: latte", "hi", "Hello! How can I help?", "a latte wiht oat")
SAID = {
    "asked/user-turn-1": user_says("Could I get oat milk in the mocha, to go? thx"),
    "asked/user-turn-2": user_says("oat"),
    "asked/user-turn-3": user_says("", done=True),
    "left/user-turn-1": user_says("a latte"),
}


def simulated(request: ChatRequest) -> str:
    return SAID.get(request.sample) or user_says("more")


def checked(*conversations: Conversation, user=simulated, window: int = 0, **options):
    check = SimulatorCheck(scorer_of(user=user, window=window, metrics={"goal": 1.0}, **options))

    async def every():
        return [outcome.value async for outcome in check.acheck_all(conversations) if outcome.value]

    return run_sync(every())


def by_name(found):
    return {figure.name: figure for figure in found}


def test_a_place_is_every_answer_after_which_the_user_wrote_or_the_log_ends():
    turns = list(user_turns(ASKED, ASKED.goal))
    assert [(turn.turn, turn.real, turn.real_stops) for turn in turns] == [
        (1, "oat", False),
        (2, "to go pls", None),  # left with it, or after the answer: the log cannot tell
        (3, "", True),
    ]
    assert [(turn.real, turn.real_stops) for turn in user_turns(LEFT, LEFT.goal)] == [("a latte wiht oat", True)]


def test_several_messages_of_a_user_in_a_row_are_one_turn():
    messages = as_messages([*chat("hi", "Hello!", "a latte"), {"role": "user", "content": "with oat"}])
    [turn] = user_turns(Conversation(id="x", messages=messages), Goal(text="a latte"))
    assert turn.real == "a latte\nwith oat"


@pytest.mark.parametrize(
    ("name", "real", "simulated"),
    [
        ("words", (1 + 3 + 4) / 3, (11 + 1 + 2) / 3),
        ("questions", 0, 1 / 3),
        ("unknown words", (0 + 1 / 3 + 1 / 4) / 3, (1 / 11) / 3),  # pls, wiht; thx
        ("politeness", 1 / 3, 1 / 3),
        ("repetition", 0, (1 / 13 + 1) / 3),  # mocha, of 13 words together; "oat" was said
        (
            "goal at once",
            (1 / 3 + 1) / 2,
            (2 / 3 + 1) / 2,
        ),  # oat; oat and to go, not mocha again, of three; latte, of one
        ("stops in time", 1, 1 / 2),  # of the end of `asked`, and of `left`
        ("stops too early", 0, 0),
    ],
)
def test_a_figure_is_what_one_counts_by_hand(name, real, simulated):
    figure = by_name(user_statistics(checked(ASKED, LEFT)))[name]
    assert (figure.real, figure.simulated.mean) == (pytest.approx(real), pytest.approx(simulated))
    assert figure.difference.mean == pytest.approx(simulated - real)


def test_the_simulator_sees_of_the_users_words_only_those_before_the_turn():
    styles = {}

    def listens(request: ChatRequest) -> str:
        styles[request.sample] = unfence("examples", request.messages[-1].content).splitlines()
        return user_says("ok")

    checked(ASKED, user=listens)
    assert styles["asked/user-turn-1"] == ['"a mocha please"']
    assert styles["asked/user-turn-2"] == ['"a mocha please"', '"oat"']


def logs(n: int) -> list[Conversation]:
    milks = ("oat", "whole", "soy", "no")
    return [
        conversation(
            f"chat-{i}", "drink: mocha", "a mocha", f"Which milk, number {i}?", f"{milks[i % 4]} milk", "Done."
        )
        for i in range(n)
    ]


def formal(request: ChatRequest) -> str:
    number = int(request.sample.partition("/")[0].removeprefix("chat-"))
    return user_says("whole milk" if number % 3 else "Certainly! I would appreciate whole milk.")


def test_the_two_sample_test_is_that_of_scikit_learn_on_other_chats_than_those_fitted_to():
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, roc_auc_score

    conversations = checked(*logs(10), user=formal)
    pairs = [(one.turns[0].real, one.turns[0].simulated.message) for one in conversations]
    texts, labels = np.array([text for pair in pairs for text in pair]), np.array([0, 1] * 10)
    folds, scores = np.repeat(np.arange(10) % 5, 2), np.zeros(20)
    for fold in range(5):
        tfidf = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), lowercase=False, sublinear_tf=True)
        fitted, others = tfidf.fit_transform(texts[folds != fold]), tfidf.transform(texts[folds == fold])
        scores[folds == fold] = LogisticRegression().fit(fitted, labels[folds != fold]).decision_function(others)

    found = by_name(user_statistics(conversations))
    assert found["told apart, AUC"].simulated.mean == pytest.approx(roc_auc_score(labels, scores))
    assert found["told apart, accuracy"].simulated.mean == pytest.approx(accuracy_score(labels, scores > 0))
    assert found["told apart, AUC"].real == 0.5
    assert found["told apart, AUC"].simulated.low is None, "ten chats are too few for an interval"


def test_a_simulator_that_talks_like_the_assistant_is_taken_for_it():
    def helper(request: ChatRequest) -> str:
        return user_says("Which milk, number 3?")

    found = by_name(user_statistics(checked(*logs(10), user=helper)))
    assert (found["like assistant"].real, found["like assistant"].simulated.mean) == (0, 1)


def test_mr_is_set_beside_the_reward_of_what_really_followed():
    """MR 0.9 and 0.5, observed 0.6 and 0.4: the bias is 0.2, on average."""

    def judge(request: ChatRequest) -> str:
        transcript = request.messages[-1].content
        first = "number 0" in transcript
        simulated = '"more"' in transcript
        return judged(
            goal={(True, True): 0.9, (True, False): 0.6, (False, True): 0.5, (False, False): 0.4}[first, simulated]
        )

    found, once = (
        by_name(
            user_statistics(checked(*logs(2), user=lambda _: user_says("more"), judge=judge, window=1, samples=samples))
        )
        for samples in (2, 1)
    )
    assert (found["MR"].real, found["MR"].simulated.mean) == (pytest.approx(0.5), pytest.approx(0.7))
    assert found["MR"].difference.mean == pytest.approx(0.2)
    assert found["MR"].difference.n == 4  # where the chat ended, it is known that the user left
    assert found["real reward"].simulated.mean == once["real reward"].simulated.mean == pytest.approx(0.5)
    assert found["MR slope"].simulated.mean == pytest.approx(0.5)  # futures that never differ are no noise
    assert "MR slope" not in once, "one future does not tell how much futures differ"


def test_a_turn_whose_call_fails_is_missing_and_says_why():
    def fails_once(request: ChatRequest):
        return ModelCallError("overloaded") if request.sample == "asked/user-turn-1" else simulated(request)

    [one] = checked(ASKED, user=fails_once)
    assert one.lost == ["simulated user, turn 1: overloaded"]
    assert by_name(user_statistics([one]))["words"].simulated.n == 1


def test_with_one_chat_there_is_nothing_to_fit_a_classifier_to():
    names = by_name(user_statistics(checked(ASKED)))
    assert "told apart, AUC" not in names
    assert "words" in names


def test_the_auc_is_that_of_scikit_learn_ties_included():
    from sklearn.metrics import roc_auc_score

    rng = random.Random(3)
    positives = {str(n): [rng.randint(2, 6) for _ in range(2)] for n in range(20)}
    negatives = {str(n): [rng.randint(0, 4) for _ in range(3)] for n in range(20)}
    above, below = ([score for scores in groups.values() for score in scores] for groups in (positives, negatives))
    expected = roc_auc_score([1] * len(above) + [0] * len(below), above + below)
    assert estimate_auc(positives, negatives).mean == pytest.approx(expected)


def test_the_interval_of_an_auc_holds_the_true_value_of_chats_whose_turns_are_alike():
    rng = random.Random(0)
    hits = 0
    for _ in range(400):
        shared = {str(n): rng.gauss(0, 1) for n in range(40)}
        positives = {name: [mood + rng.gauss(0, 1) for _ in range(3)] for name, mood in shared.items()}
        negatives = {name: [mood + rng.gauss(0, 1) for _ in range(3)] for name, mood in shared.items()}
        auc = estimate_auc(positives, negatives)
        hits += auc.low <= 0.5 <= auc.high
    assert 0.93 <= hits / 400 <= 0.97


def test_a_correlation_is_pearsons_and_needs_both_sides_to_vary():
    rng = random.Random(1)
    groups = [[(x := rng.random(), x + rng.random()) for _ in range(2)] for _ in range(30)]
    estimate = estimate_correlation(groups)
    xs, ys = zip(*[pair for group in groups for pair in group], strict=True)
    assert estimate.mean == pytest.approx(statistics.correlation(xs, ys))
    assert estimate.low < estimate.mean < estimate.high
    assert estimate_correlation([[(1e9, 0.1)], [(1e9, 0.2)], [(1e9, 0.3)]]) is None


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(), max_size=40), min_size=2, max_size=6))
def test_whatever_is_said_can_be_compared_and_written_down(texts):
    several = [conversation(f"c{n}", texts[0] + "x", "hi", texts[-1] + "?", *texts[:1]) for n in range(3)]
    check = SimulatorCheck(scorer_of(window=0))
    found = checked(*several, user=lambda request: user_says(texts[1], done=True))
    assert json.dumps(check_row(check, found, user_statistics(found)))
