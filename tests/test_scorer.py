import json
import re
import statistics
from dataclasses import replace

import pytest
from support.fakes import chat, judged, judgements, lists_requirements, scorer_of, user_says

from collab_sdk import (
    ChatReply,
    Conversation,
    Goal,
    Message,
    MRScore,
    MRScorer,
    Rollout,
    Simulator,
    TokenPenalty,
    as_chat_model,
)
from collab_sdk.errors import EndpointError, ModelCallError, NotEnoughSamplesError, UnknownNameError, UsageError
from collab_sdk.messages import Ending, as_messages
from collab_sdk.models import spec_of
from collab_sdk.prompts import unfence_transcript
from collab_sdk.score_rows import score_row
from collab_sdk.testing import FakeChatModel
from collab_sdk.tokens import count_tokens
from collab_sdk.types import PARTIAL_TURNS, End
from collab_sdk.values import dumps, loads

CHAT = chat("a coffee", "Which one?")


def conversation(*texts: str, goal: str | None = "drink: mocha") -> Conversation:
    return Conversation(id="c1", messages=as_messages(chat(*texts)), goal=Goal(text=goal) if goal else None)


def test_mr_is_the_mean_reward_of_the_futures_with_its_standard_error():
    answers = iter([judged(0.2, 0.0), judged(0.4, 0.0), judged(0.9, 0.0)])

    def judge(request):
        return judged() if lists_requirements(request) else next(answers)

    score = scorer_of(judge=judge, metrics={"goal": 1, "interactivity": 2}).score(CHAT, goal="x")
    assert float(score) == pytest.approx(0.5)
    assert score.stderr == pytest.approx(statistics.stdev([0.2, 0.4, 0.9]) / 3**0.5)
    assert (score.n_ok, score.n) == (3, 3)
    assert score.metrics == {"goal": pytest.approx(0.5), "interactivity": 0.0}
    assert score.futures[0].notes["interactivity"] == "by feel"


def answer_of(verdicts: list, interactivity: float = 0.5) -> str:
    return json.dumps({"goal": {"verdicts": verdicts}, "interactivity": {"score": interactivity}})


def test_the_reward_is_the_weighted_sum_of_the_metrics():
    scorer = scorer_of(metrics={"goal": 2.0, "interactivity": 3.0}, judge=lambda _: judged(0.5, 0.1))
    assert float(scorer.score(CHAT, goal="x")) == pytest.approx(2 * 0.5 + 3 * 0.1)


def test_tokens_are_those_of_the_response_and_its_future_not_of_the_history():
    scorer = scorer_of(user=lambda _: user_says("a mocha", done=True), metrics={"token_penalty": 1.0})
    long_history = chat("word " * 500, "ok", "a coffee", "Which one?")
    expected = -5e-4 * (count_tokens("Which one?") + count_tokens("a mocha"))
    assert float(scorer.score(CHAT, goal="x")) == pytest.approx(expected)
    assert float(scorer.score(long_history, goal="x")) == pytest.approx(expected)


def test_the_token_penalty_counts_the_roles_it_is_told_to_at_its_rate():
    def scorer(*roles: str) -> MRScorer:
        return scorer_of(
            user=lambda _: user_says("a mocha", done=True), metrics={TokenPenalty(rate=0.001, roles=roles): 1.0}
        )

    both = float(scorer("user", "assistant").score(CHAT, goal="x"))
    assert both == pytest.approx(
        float(scorer("user").score(CHAT, goal="x")) + float(scorer("assistant").score(CHAT, goal="x"))
    )


def test_a_capped_token_penalty_is_said_aloud():
    scorer = scorer_of(metrics={TokenPenalty(rate=1.0): 1.0})
    with pytest.warns(UserWarning, match="at its cap"):
        assert float(scorer.score(CHAT, goal="x")) == -1.0


def test_one_judge_call_scores_all_rubrics_of_a_future():
    scorer = scorer_of()
    scorer.score(CHAT, goal="x")
    assert len(judgements(scorer)) == 3
    assert all(request.settings.temperature == 0 for request in scorer.judge.model.requests)


def test_a_sample_that_fails_is_missing_and_never_a_zero():
    def judge(request):
        return ModelCallError("400 refused") if "future-1" in request.messages[-1].content else judged(1.0, 1.0)

    score = scorer_of(judge=judge, metrics={"goal": 1.0}).score(CHAT, goal="x")
    assert (score.n_ok, score.n) == (2, 3)
    assert float(score) == 1.0
    assert score.errors == ("400 refused",)
    assert [future.reward for future in score.futures] == [1.0, None, 1.0]


def test_too_few_samples_are_no_score():
    def judge(request):
        good = lists_requirements(request) or "future-0" in request.messages[-1].content
        return judged() if good else ModelCallError("400 refused")

    score = scorer_of(judge=judge).score(CHAT, goal="x")
    assert score.value is None
    with pytest.raises(NotEnoughSamplesError, match=r"1 of 3 samples succeeded. First failure: 400 refused"):
        float(score)


MET = [{"number": number, "met": True} for number in range(1, 11)]


@pytest.mark.parametrize(
    "answer",
    [
        answer_of([]),
        answer_of([{"number": 1, "met": "yes"}, *MET[1:]]),
        answer_of(MET[:9]),
        answer_of([*MET, {"number": 11, "met": True}]),
        answer_of([{"number": 0, "met": True}, *MET[:9]]),
        answer_of([*MET[:9], {"number": 1, "met": True}]),
        answer_of([*MET, {"number": 10, "met": True}]),
        answer_of([{"number": 1.5, "met": True}, *MET[1:]]),
        answer_of([{"requirement": f"r{number}", "met": True} for number in range(10)]),
        answer_of(MET, 1.5),
        answer_of(MET, float("nan")),
        answer_of(MET, True),
        json.dumps({"goal": {"verdicts": MET}}),
        '{"goal": {"verdicts": [{"number": 1, "met": tr',
        "I would give it a ten out of ten.",
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_a_judgement_in_the_wrong_form_or_on_another_list_is_asked_for_again_and_then_lost(answer):
    def judge(request):
        good = lists_requirements(request) or "future-0" in request.messages[1].content
        return judged() if good else answer

    scorer = scorer_of(judge=judge)
    score = scorer.score(CHAT, goal="x")
    assert score.n_ok == 1
    assert "no readable form" in score.errors[0]
    assert len(judgements(scorer)) == 5


@pytest.mark.parametrize("wrapped", ["```json\n{}\n```", "Here it is: {} I hope it helps.", "<think>{{</think>{}"])
def test_a_judgement_may_come_with_words_around_it(wrapped):
    score = scorer_of(judge=lambda _: wrapped.replace("{}", judged(0.7, 0.2))).score(CHAT, goal="x")
    assert score.metrics["goal"] == pytest.approx(0.7)


def test_rank_puts_the_best_first_and_those_without_a_score_last():
    def judge(request):
        text = request.messages[-1].content
        if "Broken" in text:
            return ModelCallError("400 refused")
        return judged(0.9 if "Which" in text else 0.1)

    ranked = scorer_of(judge=judge).rank(chat("a coffee"), ["Here.", "Broken.", "Which one?"], goal="mocha")
    assert [score.text for score in ranked] == ["Which one?", "Here.", "Broken."]


def test_every_assistant_turn_of_a_conversation_is_scored_with_what_really_followed():
    scorer = scorer_of(window=1)
    logged = conversation("a coffee", "Which one?", "mocha", "Here.", "thanks", "Bye.")
    scores = scorer.score_conversation(logged)
    assert [score.text for score in scores] == ["Which one?", "Here.", "Bye."]
    assert [score.turn for score in scores] == [0, 1, 2]
    assert [message.content for message in scores[0].observed.messages] == ["mocha", "Here."]
    assert scores[0].observed.end is End.OBSERVED
    assert scores[0].observed.reward is not None
    assert scores[2].observed.messages == ()  # the chat ended: the user left, which is judged as well
    assert scores[2].observed.reward is not None
    assert "the user left" in scores[2].observed.reason


def test_where_the_log_breaks_off_nobody_knows_what_followed():
    log = replace(conversation("a coffee", "Which one?", "mocha", "Here i"), metadata={PARTIAL_TURNS: [1]})
    scores = scorer_of().score_conversation(log)
    assert scores[0].observed is not None
    assert scores[1].observed is None


def test_the_observed_future_is_no_longer_than_a_simulated_one():
    logged = conversation("a", "b", "c", "d", "e", "f", "g", "h")
    score = scorer_of(window=2).score_conversation(logged)[0]
    assert [message.content for message in score.observed.messages] == ["c", "d", "e", "f"]


def test_a_goal_in_the_row_wins_and_a_missing_one_is_read_from_the_whole_chat():
    def judge(request):
        is_goal_reader = "write down" in request.messages[0].content
        return json.dumps({"goal": "drink: latte", "open": []}) if is_goal_reader else judged()

    scorer = scorer_of(judge=judge)
    assert scorer.goals.read(conversation("a", "b")).text == "drink: mocha"
    read = scorer.goals.read(conversation("a", "b", "c", "d", goal=None))
    assert (read.text, read.settled) == ("drink: latte", ())
    assert "c" in scorer.judge.model.requests[-1].messages[-1].content


def test_the_judge_is_the_simulators_model_unless_named():
    simulator = Simulator(FakeChatModel([]))
    assert MRScorer(Rollout(assistant=FakeChatModel([]), simulator=simulator)).judge.model is simulator.model


def test_a_judge_of_the_simulators_model_is_asked_as_judges_are():
    server = {"api_base": "http://localhost:8000/v1", "extra_headers": {"X-Team": "a"}}
    user = as_chat_model("m", temperature=0.7, max_tokens=9, **server)
    scorer = MRScorer(Rollout(assistant=FakeChatModel([]), simulator=Simulator(user)))
    assert scorer.spec.judge == spec_of(as_chat_model("m", **server), scorer.judge.settings)
    assert (scorer.judge.settings.temperature, scorer.judge.settings.max_tokens) == (0.0, None)
    assert scorer.judge.settings.extra_headers == {"X-Team": "a"}
    assert scorer.rollout.simulator.users[0].settings.temperature == 0.7


def test_accuracy_without_a_reference_is_refused_before_anything_is_paid_for():
    scorer = scorer_of(metrics={"accuracy": 1.0})
    with pytest.raises(UsageError, match="needs a reference answer"):
        scorer.score(CHAT, goal="how many?")
    assert scorer.engine.ledger.total.calls == 0


def test_an_unknown_metric_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'interactivity'\? Known: accuracy, bleu"):
        scorer_of(metrics={"interactivty": 1.0})


def test_a_metric_of_ones_own_is_an_object():
    class Brevity:
        name = "brevity"

        def rubric(self, goal):
            return None

        def artefact(self, goal):
            return None

        def value(self, evidence):
            return 1 / len(evidence.messages)

    score = scorer_of(metrics={Brevity(): 1.0}, window=0).score(CHAT, goal="x")
    assert score.metrics == {"brevity": 0.5}


@pytest.mark.parametrize("messages", [[], chat("only a question")])
def test_messages_that_do_not_end_with_a_response_are_refused(messages):
    with pytest.raises(UsageError, match="must end with the assistant's response"):
        scorer_of().score(messages, goal="x")


def test_a_refused_key_ends_the_run_instead_of_losing_samples():
    with pytest.raises(EndpointError):
        scorer_of(judge=lambda _: EndpointError("refused")).score(CHAT, goal="x")


def test_min_samples_must_be_possible():
    rollout = Rollout(assistant=FakeChatModel([]), simulator=Simulator(FakeChatModel([])), samples=3)
    with pytest.raises(UsageError, match="min_samples is 4"):
        MRScorer(rollout, min_samples=4)


def test_messages_may_be_dicts_or_messages():
    as_values = [Message(role="user", content="a coffee"), Message(role="assistant", content="Which one?")]
    assert float(scorer_of().score(as_values, goal="x")) == float(scorer_of().score(CHAT, goal="x"))


def rambler(request):
    """Runs into its token limit at every other draw."""
    wordy = int(re.search(r"future-(\d+)", request.sample)[1]) % 2
    return ChatReply(content="word " * 1000, finish_reason="length") if wordy else "word " * 50


def test_a_bot_that_rambles_into_its_limit_does_not_win_by_losing_its_longest_futures():
    history, response = chat("hi"), "yes"
    rewards = {}
    for name, bot in (("rambler", rambler), ("steady", lambda _: "word " * 300)):
        scorer = scorer_of(assistant=bot, judge=lambda _: judged(1.0, 1.0), window=1, samples=40)
        [score] = scorer.rank(history, [response], goal="a coffee")
        rewards[name] = float(score)
        assert (score.n_ok, score.n) == (40, 40)
        assert score.n_broken_off == (20 if name == "rambler" else 0)
    assert rewards["rambler"] < rewards["steady"]


def test_the_judge_is_told_how_a_reply_ended():
    asked = []

    def judge(request):
        asked.append(unfence_transcript(request.messages[-1].content))
        return judged()

    cut = ChatReply(content="It was the", finish_reason="length")
    scorer_of(assistant=lambda _: cut, judge=judge, metrics=["interactivity"], window=1, samples=1).score(
        CHAT, goal="x"
    )
    [transcript] = asked
    assert [message.ended for message in transcript] == [None, None, None, Ending.CUT_OFF]


def test_how_a_reply_ended_is_in_the_row_of_its_future_and_travels_to_other_machines():
    cut = ChatReply(content="It was the", finish_reason="length")
    score = scorer_of(assistant=lambda _: cut, window=1, samples=1).score(CHAT, goal="x")
    assert score_row(score)["futures"][0]["messages"][-1]["ended"] == "cut off"
    assert loads(MRScore, dumps(score)) == score


def test_a_ranking_says_how_far_missing_samples_could_move_a_score():
    def judge(request):
        text = request.messages[-1].content
        if "good" not in text:
            return judged(0.2)
        return ModelCallError("400 refused") if "future-1" in text else judged(0.8)

    scorer = scorer_of(judge=judge, metrics={"goal": 1.0})
    better, worse = scorer.rank(chat("a coffee"), ["bad", "good"], goal="x")
    assert (better.text, better.n_ok, better.value) == ("good", 2, pytest.approx(0.8))
    assert better.bounds == pytest.approx(((0.8 * 2 + 0.2) / 3, 0.8))
    assert worse.bounds is None
    assert score_row(better)["bounds"] == list(better.bounds)
