"""Several goals for one turn: which they are, who meets which, and that a lucky guess earns nothing by them."""

import asyncio
import json
import re

import pytest
from support.cli import collab, write_chats
from support.fakes import chat, judged, scorer_of, user_says

from collab_sdk import Conversation, Engine, Goal, MRScorer, PreferenceExporter, Rollout, Simulator
from collab_sdk.errors import UnreadableReplyError, UsageError
from collab_sdk.goals import GoalReader
from collab_sdk.messages import as_messages
from collab_sdk.models.base import CallRole
from collab_sdk.prompts import unfence_goal, unfence_transcript
from collab_sdk.testing import FakeChatModel

MILKS = ("oat milk", "soy milk", "whole milk")
GUESS, QUESTION = "Here you are, with oat milk.", "Which milk?"


def goal_in(request):
    return unfence_goal(request.messages[-1].content)


def user(request):
    """Says their milk when asked for it, or when they got another one."""
    milk, last = goal_in(request), unfence_transcript(request.messages[-1].content)[-1].content
    return user_says("thanks", done=True) if milk in last else user_says(f"{milk} please")


def barista(request):
    return f"Here you are, with {request.messages[-1].content.removesuffix(' please')}."


def judge(request):
    """The goal is met in the end; what was asked for first and never corrected is worth more."""
    if request.role is CallRole.GOAL:
        return json.dumps({"goals": [milk for milk in MILKS if milk != goal_in(request)]})
    transcript = unfence_transcript(request.messages[-1].content)
    corrected = any(message.content.startswith("Here") for message in transcript[:-1])
    satisfied = transcript[-1].role == "user" and transcript[-1].content == "thanks"
    return judged(1.0, 0.0 if corrected and not satisfied else 0.9 if len(transcript) > 3 else 1.0)


def milk_scorer(**options):
    return scorer_of(assistant=barista, user=user, judge=judge, metrics={"interactivity": 1.0}, **options)


def logged(*texts, goal="oat milk", id="c"):
    return Conversation(id=id, messages=as_messages(chat(*texts)), goal=Goal.of(goal))


def over_goals(n, **options):
    scorer = milk_scorer(window=1, **options)
    return MRScorer(scorer.rollout, metrics={"interactivity": 1.0}, judge=scorer.judge.model, goals_per_turn=n)


def test_a_lucky_guess_wins_by_the_one_true_goal_and_loses_over_the_goals_that_fit():
    scorer, history = milk_scorer(window=1), chat("A mocha.")
    assert scorer.rank(history, [GUESS, QUESTION], goal="oat milk")[0].text == GUESS
    assert scorer.rank(history, [GUESS, QUESTION], goal=MILKS)[0].text == QUESTION


def test_pairs_teach_to_ask_once_goals_are_proposed_for_each_turn(tmp_path):
    chosen = {}
    for n in (1, 3):
        exporter = PreferenceExporter(over_goals(n), candidates=2, fixed_samples=True, min_confidence=0)
        exporter.scorer.rollout.assistant._answer = lambda request: (
            QUESTION if request.messages[-1].content == "A mocha." else barista(request)
        )
        exporter.export([logged("A mocha.", GUESS)], tmp_path / f"{n}.jsonl")
        [row] = map(json.loads, (tmp_path / f"{n}.jsonl").read_text().splitlines())
        chosen[n] = row["chosen"][0]["content"]
    assert chosen == {1: GUESS, 3: QUESTION}


def test_every_candidate_meets_the_same_users():
    scorer = milk_scorer(samples=4)
    scorer.rank(chat("A mocha."), [GUESS, QUESTION, "Sorry?"], goal=MILKS)
    met = {}
    for request in scorer.rollout.simulator.model.requests:
        sample = request.sample.split("/")[1]
        met.setdefault(sample, set()).add(goal_in(request))
    assert met == {"future-0": {MILKS[0]}, "future-1": {MILKS[1]}, "future-2": {MILKS[2]}, "future-3": {MILKS[0]}}


def test_a_future_is_judged_by_the_goal_it_was_played_with_and_what_really_followed_by_the_users_own():
    scorer = over_goals(3)
    [score] = scorer.score_conversation(logged("A mocha.", QUESTION, "oat milk please"))
    assert [future.messages[0].content for future in score.futures] == [f"{milk} please" for milk in MILKS]
    judgements = [request for request in scorer.judge.model.requests if request.role is CallRole.JUDGE]
    assert len(judgements) == 3 + 1
    for request in judgements:
        assert unfence_transcript(request.messages[-1].content)[2].content == f"{goal_in(request)} please"


def test_further_futures_meet_the_next_goals_in_turn():
    scorer, log = milk_scorer(window=1), logged("A mocha.", QUESTION)
    turn = next(log.turns())
    two = asyncio.run(scorer.ascore_turn(turn, MILKS, log, samples=2))
    four = asyncio.run(scorer.ascore_turn(turn, MILKS, log, samples=4, so_far=two))
    said = [future.messages[0].content.removesuffix(" please") for future in four.futures]
    assert said == [*MILKS, MILKS[0]]


def test_one_goal_makes_the_calls_it_always_made():
    scorer = milk_scorer()
    scorer.score_conversation(logged("A mocha.", QUESTION))
    simulator = scorer.rollout.simulator.model
    assert {request.sample for request in simulator.requests} == {
        f"c/future-{sample}/{step}" for sample in range(3) for step in range(2)
    }
    assert not [request for request in scorer.judge.model.requests if request.role is CallRole.GOAL]


def test_the_turns_file_names_the_goals_where_there_are_several(tmp_path):
    for n in (1, 3):
        PreferenceExporter(over_goals(n), candidates=2).export([logged("A mocha.", GUESS)], tmp_path / f"{n}.jsonl")
    [one], [several] = (list(map(json.loads, (tmp_path / f"{n}.turns.jsonl").read_text().splitlines())) for n in (1, 3))
    assert one["goal"] == several["goal"] == "oat milk"
    assert "goals" not in one
    assert several["goals"] == list(MILKS)


MINE = Goal(text="oat milk", style=("x",))


def proposals(answer, *, n=3, goal=MINE, history=("A mocha.", GUESS, "hm")):
    reader = GoalReader(FakeChatModel(lambda _: json.dumps(answer)), engine=Engine())
    return asyncio.run(reader.apropose(as_messages(chat(*history)), goal=goal, n=n)), reader.model.requests


def test_proposed_goals_come_after_the_users_own_without_repeats_and_know_only_what_was_said_by_then():
    goals, [request] = proposals({"goals": ["soy milk", "oat milk", "soy milk", "whole milk", "rice milk"]})
    assert [goal.text for goal in goals] == list(MILKS)
    assert goals[0].style == ("x",)
    assert goals[1].style == ("A mocha.", "hm")
    assert "at most 2 other goals" in request.messages[-1].content


def test_where_everything_was_said_the_users_own_goal_is_the_only_one():
    assert [goal.text for goal in proposals({"goals": []})[0]] == ["oat milk"]


def test_a_goal_with_a_reference_is_settled():
    goals, requests = proposals({"goals": ["a difference"]}, goal=Goal(text="a sum", reference="4"))
    assert [goal.text for goal in goals] == ["a sum"]
    assert not requests


@pytest.mark.parametrize("answer", [{}, {"goals": "soy milk"}, {"goals": [""]}, {"goals": [7]}])
def test_proposals_in_another_form_are_none(answer):
    with pytest.raises(UnreadableReplyError, match=r'"goals" (is missing|must be a list|must be a string)'):
        proposals(answer)


def test_there_must_be_a_goal():
    with pytest.raises(UsageError, match="No goal is given"):
        scorer_of().score(chat("a", "b"), goal=[])
    with pytest.raises(UsageError, match="goals_per_turn is 0"):
        MRScorer(Rollout(assistant="offline", simulator=Simulator("offline", engine=Engine())), goals_per_turn=0)


def test_the_stand_in_keeps_what_was_said_and_varies_the_rest():
    goal = Goal(text="drink: mocha\nmilk: oat milk\norder type: to go\nnote: extra hot")
    reader = GoalReader("offline", engine=Engine())
    goals = asyncio.run(reader.apropose(as_messages(chat("a mocha to go")), goal=goal, n=6))
    assert goals[0] is goal
    assert len({goal.text for goal in goals}) == len(goals) > 2
    for other in goals[1:]:
        assert other.text.startswith("drink: mocha\n")
        assert "order type: to go" in other.text


def test_the_command_line_takes_the_number_of_goals(tmp_path):
    chats = write_chats(tmp_path / "chats.jsonl")
    one, three = (collab("score", chats, "--model", "offline", "--goals-per-turn", n) for n in (1, 3))
    assert one.exit_code == three.exit_code == 0, three.output
    assert not re.search(r"^goal ", one.stderr, re.MULTILINE)
    assert re.search(r"^goal +4 ", three.stderr, re.MULTILINE)
    estimate = collab("score", chats, "--model", "offline", "--goals-per-turn", 3, "--dry-run")
    assert re.search(r"^goal +4 ", estimate.stdout, re.MULTILINE)
