"""Two bots on the same turns."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from support.fakes import chat, judged, scorer_of, user_says

from collab_sdk import ChatRequest, Conversation, Engine, Goal, Simulator, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import EndpointError, ModelCallError
from collab_sdk.evaluation import acompare_bots, mr_bounds
from collab_sdk.messages import as_messages
from collab_sdk.testing import FakeChatModel


def conversations(n: int = 3) -> list[Conversation]:
    messages = as_messages(chat("a mocha", "Done.", "for here", "Done."))
    return [Conversation(id=f"chat-{number}", messages=messages, goal=Goal(text="drink: mocha")) for number in range(n)]


def judge(request: ChatRequest) -> str:
    """Finds every request clear, takes a question mark for a question, and likes answers that say `good`."""
    transcript = request.messages[-1].content
    if '"clear":' in transcript:
        return json.dumps({"clear": {"reason": "all said", "clear": "for here" not in transcript}})
    if '"asks":' in transcript:
        return json.dumps({"asks": {"reason": "?", "asks": "?" in transcript.partition("</transcript>")[0]}})
    return judged(goal=1.0 if "good" in transcript else 0.0)


def bot(reply: str, name: str = "bot") -> FakeChatModel:
    return FakeChatModel(lambda request: reply, name=name)


def compare(before, after, chats=None, *, judge=judge, **options):
    scorer = scorer_of(judge=judge, samples=2, window=1, metrics={"goal": 1.0})
    return run_sync(acompare_bots(conversations() if chats is None else chats, before, after, scorer, **options))


def figures(comparison):
    return {figure.name: figure for figure in comparison.statistics}


def test_a_comparison_tells_reward_length_and_questions_of_both():
    found = figures(compare(bot("Which one?", "asker"), bot("A good mocha.", "doer")))
    assert list(found) == ["MR", "tokens", "over-asking", "asks when open"]
    assert (found["MR"].before.mean, found["MR"].after.mean, found["MR"].difference.mean) == (0.0, 1.0, 1.0)
    assert f"{found['MR'].difference:+.2f}" == "+1.00 (n=6 of 3 chats)"  # too few for an interval
    assert f"{found['over-asking'].difference:+.2f}" == "-1.00 (0 up, 3 down of 3)"
    assert found["MR"].before.n == 6
    assert (found["over-asking"].before.mean, found["over-asking"].after.mean) == (1.0, 0.0)
    assert (found["over-asking"].before.n, found["asks when open"].before.n) == (3, 3)
    assert found["tokens"].before.mean == 6  # three tokens, said twice
    assert found["tokens"].after.mean == 10


def test_each_bot_plays_its_own_futures_with_the_same_user():
    before, after = bot("one", "before"), bot("two", "after")
    user = FakeChatModel(lambda request: user_says("and then?"), name="user")
    scorer = scorer_of(assistant=bot("nobody"), user=user, judge=judge, samples=2, window=1, metrics={"goal": 1.0})
    run_sync(acompare_bots(conversations(1), before, after, scorer))
    assert [request.sample for request in before.requests] == [request.sample for request in after.requests]
    assert {message.content for request in before.requests for message in request.messages[3:]} >= {"one"}
    assert not any("two" in message.content for request in before.requests for message in request.messages)
    assert set(Counter(request.sample for request in user.requests).values()) == {4}  # two turns, two bots


def test_a_bot_compared_with_itself_differs_in_nothing():
    comparison = compare(bot("A good mocha."), bot("A good mocha."))
    assert comparison.statistics is comparison.statistics  # the tokens of all futures are counted once
    assert all(figure.difference.mean == 0 for figure in comparison.statistics)
    assert mr_bounds(comparison) is None


def test_what_one_bot_cannot_answer_is_missing_from_both():
    def refuses_the_second(request: ChatRequest) -> str:
        if any("for here" in message.content for message in request.messages):
            return ModelCallError("no answer to that")
        return "good"

    comparison = compare(FakeChatModel(refuses_the_second), bot("A mocha."))
    assert figures(comparison)["MR"].before.n == 3
    assert comparison.lost["no answer to that"] == 3
    assert figures(comparison)["MR"].difference.mean == -1.0
    assert mr_bounds(comparison).differences == (pytest.approx((-1.0, -0.5)),)  # of 6 turns, 3 are missing before


def test_a_judge_that_cannot_say_what_is_clear_costs_that_figure_only():
    def vague(request: ChatRequest) -> str:
        return "{}" if '"clear":' in request.messages[1].content else judge(request)

    comparison = compare(bot("Which one?"), bot("A good mocha."), judge=vague)
    assert list(figures(comparison)) == ["MR", "tokens"]
    assert comparison.lost.total() == 6


def test_a_chat_that_cannot_be_compared_is_named_and_the_others_go_on():
    chats = conversations(2)
    chats[0] = replace(chats[0], goal=None)
    comparison = compare(bot("a"), bot("b"), chats)
    assert len(comparison.failed) == 1
    assert comparison.failed[0].startswith("chat-0: ")
    assert {turn.conversation_id for turn in comparison.turns} == {"chat-1"}


def test_a_bot_that_is_not_there_ends_the_comparison():
    gone = FakeChatModel(lambda request: EndpointError("no such model"))
    with pytest.raises(EndpointError):
        compare(bot("a"), gone)


def test_progress_counts_turns():
    seen = []
    compare(bot("a"), bot("b"), on_progress=lambda done, failed: seen.append((done, failed)))
    assert seen == [(done, 0) for done in range(1, 7)]


def test_nothing_to_compare_gives_no_figures():
    assert compare(bot("a"), bot("b"), []).statistics == ()


def test_rules_that_ask_first_ask_more_than_rules_that_do_not(capsys):
    from collab_cli.finetune_gain import show_comparison

    from collab_sdk import MRScorer, Rollout
    from collab_sdk.logs import read_conversations
    from collab_sdk.offline import sample_chats_path

    scorer = MRScorer(Rollout(assistant="offline", simulator=Simulator("offline", engine=Engine())))
    chats = read_conversations([sample_chats_path()])
    comparison = run_sync(acompare_bots(chats, "offline", as_chat_model("offline:proactive"), scorer))
    asking = figures(comparison)["asks when open"].difference
    assert asking.mean > 0
    show_comparison(comparison)
    shown = capsys.readouterr()
    assert "over-asking" in shown.out
    assert "after: offline:proactive" in shown.err
