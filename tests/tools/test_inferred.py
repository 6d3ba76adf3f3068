"""Tools inferred from the calls of a log that does not say what could be called."""

import json
import random
from dataclasses import replace

from support.agents import called, doing, log_of, play, reply, results, returned, rollout_of, said
from support.cli import collab
from support.fakes import judged

from collab_sdk import MRScorer
from collab_sdk.messages import Message, as_messages
from collab_sdk.testing import FakeChatModel
from collab_sdk.tool_calls import is_inferred, without_remark
from collab_sdk.tools import CallShapes, with_tools

ASK = said("hi", "user")


def chat_with(*calls, tools=()):
    """A conversation with these calls, each with its arguments and result."""
    messages = [
        each
        for n, (name, arguments, result) in enumerate(calls)
        for each in (called(name, f"c{n}", **arguments), returned(result, f"c{n}"))
    ]
    return log_of(ASK, *messages, said("Done."), tools=tools)


CHATS = [
    chat_with(("find", {"city": "Rome", "nights": 2}, '[{"hotel": "A", "price": 9}]')),
    chat_with(("find", {"city": "Bonn", "nights": 1.5, "stars": None}, "[]"), ("think", {"thought": "hm"}, "")),
    chat_with(("find", {"city": "Oslo", "nights": 1, "stars": 4}, "nothing found")),
    chat_with(("book", {"hotel": "A", "guests": ["x"], "extra": {"bed": True}}, '{"id": 7, "secret": "s3cr3t"}')),
]


def inferred(chats):
    shapes = CallShapes()
    for each in chats:
        shapes.add(each)
    assert all(map(is_inferred, shapes.tools))
    return {tool["function"]["name"]: without_remark(tool)["function"] for tool in shapes.tools}


def test_names_arguments_and_the_form_of_results_are_read_off_the_calls():
    tools = inferred(CHATS)
    assert list(tools) == ["book", "find", "think"]
    assert tools["find"] == {
        "name": "find",
        "description": "find. Returns a JSON list or text with hotel, price.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "nights": {"type": "number"},
                "stars": {"type": ["integer", "null"]},
            },
            "required": ["city", "nights"],
        },
    }
    assert tools["book"]["parameters"]["required"] == []  # one call shows no rule


def test_what_results_said_is_not_told_to_the_bot():
    assert "s3cr3t" not in json.dumps(inferred(CHATS))
    assert "Rome" not in json.dumps(inferred(CHATS))


def test_the_order_of_the_conversations_changes_nothing():
    for seed in range(5):
        shuffled = random.Random(seed).sample(CHATS, len(CHATS))
        assert json.dumps(inferred(shuffled)) == json.dumps(inferred(CHATS))


def test_calls_without_a_name_or_with_arguments_that_are_no_json_show_nothing_wrong():
    chats = [log_of(ASK, called("", "a"), called("find", "b", text="{broken"), called("find", "c", text="[1]"))]
    assert inferred(chats)["find"]["parameters"] == {"type": "object", "properties": {}, "required": []}


def test_inferred_types_are_described_and_not_enforced():
    calls = [("note", {"body": None, "n": 1}, "ok")] * 3
    assert inferred([chat_with(*calls)])["note"]["parameters"] == {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "body": {}},
        "required": ["body", "n"],
    }
    player = FakeChatModel(lambda _: '{"reason": "", "result": "noted"}', name="player")
    bot = doing(reply(("note", {"body": "hello"})), reply(("note", {"n": "one"})), reply(("note", "{")))
    log = chat_with(*calls)
    for each in (replace(log, tools=()), next(with_tools([replace(log, tools=())]))):
        turn = play(bot, tools="simulated", history=[ASK], log=each, player=player)
        assert results(turn) == ["noted", "noted", "error: the arguments are no JSON object"]


def test_tools_that_only_alternatives_call_are_inferred_too():
    alternative = as_messages([called("refund", order=5), returned("ok"), said("Refunded.")])
    log = log_of(ASK, said("No."), tools=(), alternatives={0: (alternative,)})
    bot = FakeChatModel(doing("fine"), name="bot")
    for each in (log, next(with_tools([log]))):
        play(bot, tools="recorded", history=[ASK], log=each)
        assert [tool["function"]["name"] for tool in bot.requests[-1].tools] == ["refund"]


def test_conversations_of_an_agent_that_name_no_tools_get_those_of_all_calls_also_where_it_only_talked():
    named, silent = chat_with(("book", {}, ""), tools=({"name": "own"},)), log_of(ASK, said("Hello."), tools=())
    other = log_of(Message(role="system", content="You are a poet."), ASK, said("Hello."), tools=())
    asked, told = [], []

    def again():
        asked.append(1)
        return iter([*CHATS, named, silent, other])

    first, second, third, fourth = with_tools(
        iter([silent, named, other, CHATS[1]]), again=again, on_inferred=told.append
    )
    assert [each["function"]["name"] for each in first.tools] == ["book", "find", "think"]
    assert (second, third) == (named, other)
    assert fourth.tools == first.tools
    assert (len(asked), told) == (1, [first.tools])


def test_a_log_without_calls_has_no_tools():
    silent = log_of(ASK, said("Hello."), tools=())
    assert list(with_tools([silent])) == [silent]


def test_a_model_gets_the_tools_of_the_conversation_at_hand():
    bot = FakeChatModel(doing(reply(("find", {"city": "Rome", "nights": 2}))), name="bot")
    judge = FakeChatModel(lambda _: judged(), name="judge")
    scorer = MRScorer(rollout_of(bot, tools="recorded"), metrics=["goal"], judge=judge)
    [score] = scorer.score_conversation(CHATS[0])
    assert not score.errors
    assert [tool["function"]["name"] for tool in bot.requests[0].tools] == ["find"]
    assert results(score.futures[0].messages) == ['[{"hotel": "A", "price": 9}]']


def test_tools_of_ones_own_take_the_place_of_inferred_ones():
    def look():
        return "seen"

    bot = FakeChatModel(doing(reply(("look", {}))), name="bot")
    play(bot, tools=look, history=[ASK], log=CHATS[0])
    assert [tool["function"]["name"] for tool in bot.requests[0].tools] == ["look"]


def write(path, chats):
    rows = [{"id": str(n), "messages": [m.to_dict() for m in each.messages]} for n, each in enumerate(chats)]
    path.write_text("".join(json.dumps({**row, "goal": "a room"}) + "\n" for row in rows))
    return path


def test_the_command_line_says_once_what_it_inferred_from_a_file(tmp_path, monkeypatch):
    logs = write(tmp_path / "chats.jsonl", CHATS)
    told = "tools: inferred 3 from calls in"
    for options in (["--limit", "2"], ["--dry-run"]):
        result = collab("score", logs, "--model", "offline", "--samples", 1, *options)
        assert result.stderr.count(told) == 1, result.output
        assert "since its rows name none" in result.stderr
    result = collab("score", logs, "--model", "offline", "--tools", "none", "--dry-run")
    assert told not in result.stderr


def test_what_comes_from_a_pipe_is_read_once_and_said_so(tmp_path):
    text = write(tmp_path / "chats.jsonl", CHATS[:1]).read_text()
    result = collab("score", "-", "--model", "offline", "--dry-run", stdin=text)
    assert "inferred from the calls of each chat alone" in result.stderr
