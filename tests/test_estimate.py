"""What a run would cost: never less than what it costs in the end."""

from dataclasses import replace
from itertools import islice

import pytest
from support.fakes import chat
from support.paths import DATA
from support.specs import estimate

from collab_sdk import (
    Conversation,
    Engine,
    Goal,
    MRScorer,
    PreferenceExporter,
    Rollout,
    Simulator,
    TokenPenalty,
    read_conversations,
)
from collab_sdk.messages import as_messages
from collab_sdk.models.base import CallRole
from collab_sdk.offline import sample_chats_path
from collab_sdk.spec import Price
from collab_sdk.tools import with_tools
from collab_sdk.types import PARTIAL_TURNS

FREE = {role: Price(prompt=0.0, completion=0.0) for role in CallRole}


def conversation(*texts, goal="a red bike"):
    return Conversation(id="c", messages=as_messages(chat(*texts)), goal=Goal(text=goal) if goal else None)


def calls(*conversations, **options):
    usage = estimate(conversations, prices=FREE, **options).by_role()
    return {role: usage[role].calls for role in usage}


def test_one_response_costs_its_futures_their_judgements_that_of_what_followed_and_a_list():
    assert calls(conversation("hi", "hello")) == {"assistant": 6, "simulator": 6, "judge": 3 + 1 + 1}
    shorter = calls(conversation("hi", "hello"), samples=2, window=1)
    assert shorter == {"assistant": 2, "simulator": 2, "judge": 2 + 1 + 1}
    assert calls(conversation("hi", "hello", "bye")) == {"assistant": 6, "simulator": 6, "judge": 3 + 1 + 1}


def test_each_goal_is_split_into_requirements_once():
    log = conversation("hi", "hello", "bye", "bye")
    assert calls(log)["judge"] == 2 * 4 + 1
    assert calls(log, goals_per_turn=3)["judge"] == 2 * 4 + 1 + 2 * 2
    assert calls(log, metrics={"interactivity": 1.0})["judge"] == 2 * 4
    assert not calls(conversation("hi")).get("judge")


def test_the_rules_of_a_system_prompt_are_listed_once():
    messages = as_messages([{"role": "system", "content": "No refunds."}, *chat("hi", "no")])
    log = Conversation(id="c", messages=messages, goal=Goal(text="a refund"))
    assert calls(log, metrics={"policy": 1.0})["judge"] == 4 + 1
    assert calls(conversation("hi", "hello"), metrics={"policy": 1.0})["judge"] == 4


def test_what_followed_a_response_that_was_broken_off_is_not_known_and_costs_nothing():
    broken = replace(conversation("hi", "hel"), metadata={PARTIAL_TURNS: [0]})
    assert calls(broken) == {"assistant": 6, "simulator": 6, "judge": 3 + 1}


def test_candidates_are_drawn_and_each_has_futures_of_its_own():
    assert calls(conversation("hi", "hello"), candidates=3) == {
        "assistant": 2 + 18,
        "simulator": 18,
        "judge": 9 + 1 + 1,
    }


def test_without_a_window_a_response_is_only_judged():
    assert calls(conversation("hi", "hello"), window=0) == {"assistant": 0, "judge": 1 + 1}


def test_metrics_without_a_judge_cost_no_judgement():
    assert "judge" not in calls(conversation("hi", "hello"), metrics={TokenPenalty(): 1.0})


def test_a_goal_that_is_not_in_the_log_costs_a_call():
    assert calls(conversation("hi", "hello", goal=None))["goal"] == 1
    assert calls(conversation("hi", "hello", "bye", "see you", goal=None))["goal"] == 1
    assert "goal" not in calls(conversation("hi", "hello"))


def test_proposing_goals_costs_a_call_a_turn_unless_a_reference_settles_the_goal():
    chatted = conversation("hi", "hello", "bye", "see you")
    assert calls(chatted, goals_per_turn=3)["goal"] == 2
    assert "goal" not in calls(chatted, goals_per_turn=1)
    settled = Conversation(id="c", messages=as_messages(chat("2+2?", "4")), goal=Goal(text="a sum", reference="4"))
    assert "goal" not in calls(settled, goals_per_turn=3)


def test_a_conversation_that_cannot_be_measured_costs_nothing():
    assert calls(conversation("hi", "hello"), metrics={"accuracy": 1.0}) == {}


def test_the_extraction_of_an_answer_is_a_call_of_its_own():
    known = Conversation(id="c", messages=as_messages(chat("2+2?", "4")), goal=Goal(text="a sum", reference="four"))
    assert calls(known, metrics={"accuracy": 1.0})["judge"] == 4 * 2


def test_a_comparison_of_answers_is_no_part_of_the_other_judgements():
    known = Conversation(id="c", messages=as_messages(chat("2+2?", "4")), goal=Goal(text="a sum", reference="four"))
    assert calls(known, metrics={"accuracy": 1.0, "goal": 1.0, "interactivity": 1.0})["judge"] == 3 * 4 + 1


def test_a_reference_without_a_goal_is_a_goal_still_to_be_inferred():
    row = Conversation(id="c", messages=as_messages(chat("2+2?", "4")), goal=Goal(text="", reference="four"))
    assert calls(row, metrics={"accuracy": 1.0}) == {"assistant": 6, "simulator": 6, "judge": 4 * 2, "goal": 1}


def agent_chat(**fields):
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": {"name": "weather"}}]},
        {"role": "tool", "content": "sun", "tool_call_id": "1"},
        {"role": "assistant", "content": "It is sunny."},
    ]
    return Conversation(id="c", messages=as_messages(messages), goal=Goal(text="the weather"), **fields)


def test_turns_with_calls_cost_a_decision_more_for_each_and_who_plays_the_tools():
    assert calls(agent_chat()) == {"assistant": 12, "simulator": 6, "judge": 3 + 1 + 1, "tools": 6}
    drawn = {"assistant": 4 + 36, "simulator": 18, "judge": 9 + 1 + 1, "tools": 2 + 18}
    assert calls(agent_chat(), candidates=3) == drawn


def test_decisions_are_scored_one_by_one_and_a_call_is_played_on_from_its_result():
    assert calls(agent_chat(), per="decision") == {
        "assistant": 2 * 12 + 3,
        "simulator": 12,
        "judge": 6 + 2 + 1,
        "tools": 2 * 6 + 3,
    }


def test_tools_that_no_model_plays_cost_no_call():
    assert "tools" not in calls(agent_chat(), tools=("recorded",))
    assert calls(agent_chat(), tools=()) == {"assistant": 6, "simulator": 6, "judge": 3 + 1 + 1}


def test_tools_of_ones_own_may_be_called_in_any_conversation():
    assert calls(conversation("hi", "hello"), tools=("py:own:tools",))["assistant"] == 12
    assert "tools" not in calls(conversation("hi", "hello"))


def test_the_tools_that_are_offered_and_a_metric_that_is_measured_are_paid_for():
    tool = {"type": "function", "function": {"name": "weather", "description": "of a town " * 100}}
    plain, offered = (estimate([agent_chat(tools=tools)], prices=FREE).by_role() for tools in ((), (tool,)))
    assert offered["assistant"].prompt_tokens > plain["assistant"].prompt_tokens + 1_000
    text, deeds = (estimate([chat], prices=FREE).by_role()["judge"] for chat in (conversation("hi", "x"), agent_chat()))
    assert deeds.prompt_tokens > text.prompt_tokens


def test_a_price_that_nobody_knows_stays_unknown():
    prices = {**FREE, CallRole.JUDGE: None, CallRole.ASSISTANT: Price(prompt=0.5, completion=1.0)}
    usage = estimate([conversation("hi", "hello")], prices=prices).by_role()
    assert usage["judge"].unpriced_calls == usage["judge"].calls == 3 + 1 + 1
    assert usage["assistant"].usd == pytest.approx(
        0.5 * usage["assistant"].prompt_tokens + usage["assistant"].completion_tokens, rel=0.01
    )


def test_longer_messages_and_longer_histories_cost_more_tokens():
    short = estimate([conversation("hi", "hello")], prices=FREE).total
    long = estimate([conversation("hi " * 50, "hello " * 50)], prices=FREE).total
    assert long.calls == short.calls
    assert long.prompt_tokens > short.prompt_tokens
    assert long.completion_tokens > short.completion_tokens


def test_conversations_are_read_one_by_one():
    open_now = 0

    def logs():
        nonlocal open_now
        for _ in range(3):
            open_now += 1
            yield conversation("hi", "hello")

    source = logs()
    estimate((next(source) for _ in range(2)), prices=FREE)
    assert open_now == 2


@pytest.mark.parametrize(
    ("candidates", "with_goals", "goals_per_turn"),
    [
        (1, True, None),
        (1, True, 3),
        (1, False, None),
        (1, False, 3),
        (3, True, None),
        (3, True, 3),
        (3, False, 1),
        (3, False, None),
    ],
)
def test_no_run_makes_more_calls_than_the_estimate(tmp_path, candidates, goals_per_turn, with_goals):
    engine = Engine()
    rollout = Rollout(assistant="offline", simulator=Simulator("offline", engine=engine))
    scorer = MRScorer(rollout, goals_per_turn=goals_per_turn)
    chats = list(read_conversations([sample_chats_path()]))
    chats = chats if with_goals else [replace(logged, goal=None) for logged in chats]
    if candidates > 1:
        PreferenceExporter(scorer, candidates=candidates).export(chats, tmp_path / "prefs.jsonl")
    else:
        for logged in chats:
            scorer.score_conversation(logged)
    options = {"candidates": candidates, "goals_per_turn": goals_per_turn}
    estimated = estimate(chats, prices=FREE, **options).by_role()
    made = engine.ledger.by_role()
    assert made
    for role, usage in made.items():
        assert usage.calls + usage.cache_hits <= estimated[role].calls


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data is not at {DATA}")
@pytest.mark.parametrize("per", ["turn", "decision"])
def test_real_chats_with_tools_take_no_more_calls_than_the_estimate(per):
    engine = Engine()
    rollout = Rollout(assistant="offline", simulator=Simulator("offline", engine=engine), samples=1, tools="simulated")
    scorer = MRScorer(rollout, per=per)
    chats = list(with_tools(islice(read_conversations([DATA / "agent_chats.jsonl"]), 2)))
    for logged in chats:
        assert all(score.value is not None for score in scorer.score_conversation(logged))
    estimated = estimate(chats, prices=FREE, per=per, samples=1, tools=("simulated",)).by_role()
    made = engine.ledger.by_role()
    assert made["tools"].calls
    for role, usage in made.items():
        assert usage.calls + usage.cache_hits <= estimated[role].calls
