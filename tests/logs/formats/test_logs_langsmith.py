"""LangSmith run dumps."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from support.call_logs import HELLO, HI, lc, read_logs, run, said
from support.fakes import other_texts

from collab_sdk import read_conversations


@pytest.fixture
def read(tmp_path):
    return partial(read_logs, tmp_path)


def test_langsmith_runs_become_the_conversation_of_their_thread_in_whatever_order_they_come(read):
    history = [lc("SystemMessage", "Be brief."), lc("HumanMessage", "hi"), lc("AIMessage", "hello")]
    first = run("r1", history[:2], history[2], at=1)
    second = run("r2", [*history, lc("HumanMessage", "bye")], lc("AIMessageChunk", "ciao"), at=2)
    for order in ([first, second], [second, first]):
        [conversation], errors = read(order)
        assert errors == []
        assert conversation.id == "T"
        assert said(conversation) == [
            ("system", "Be brief."),
            ("user", "hi"),
            ("assistant", "hello"),
            ("user", "bye"),
            ("assistant", "ciao"),
        ]
        assert "secret" not in str(conversation)


def test_langsmith_projects_are_no_threads_and_runs_without_one_are_joined_by_their_history(read):
    history = [lc("HumanMessage", "hi"), lc("AIMessage", "hello"), lc("HumanMessage", "bye")]
    runs = [
        run("r1", history[:1], history[1], thread=None, at=1),
        run("r2", history, lc("AIMessage", "ciao"), thread=None, at=2),
        run("r3", [lc("HumanMessage", "other")], lc("AIMessage", "yes"), thread=None, at=3),
    ]
    conversations, _ = read(runs)
    assert [len(conversation.messages) for conversation in conversations] == [4, 2]
    assert [c.id for c in conversations] == [c.id for c in read(runs[::-1])[0]][::-1]


def test_langsmith_generations_of_one_call_are_alternatives(read):
    [conversation], _ = read([run("r1", [lc("HumanMessage", "hi")], lc("AIMessage", "a"), lc("AIMessage", "b"))])
    [turn] = conversation.turns()
    assert {turn.text, *other_texts(conversation)[0]} == {"a", "b"}


def test_langsmith_tool_calls_results_and_thoughts(read):
    call = {"name": "weather", "args": {"city": "Rome"}, "id": "c1", "type": "tool_call"}
    thinking = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Let me see."}]
    history = [
        lc("HumanMessage", "weather?"),
        lc("AIMessage", thinking, tool_calls=[call]),
        lc("ToolMessage", "rain", tool_call_id="c1"),
    ]
    [conversation], _ = read([run("r1", history, lc("AIMessage", "It rains."))])
    _, made, result, _ = conversation.messages
    assert made.content == "Let me see."
    assert made.tool_calls[0]["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert result.tool_call_id == "c1"


@pytest.mark.parametrize(
    ("history", "reply"),
    [
        ([HI], HELLO),
        ([{"type": "human", "content": "hi"}], {"type": "ai", "content": "hello"}),
        ([{"type": "human", "data": {"content": "hi"}}], {"type": "ai", "data": {"content": "hello"}}),
        ([["human", "hi"]], ["ai", "hello"]),
        ([lc("ChatMessage", "hi", role="user")], lc("AIMessage", [{"type": "text", "text": "hello"}])),
        (["hi"], HELLO),
    ],
)
def test_every_spelling_of_a_message_is_read(read, history, reply):
    [conversation], errors = read([run("r1", history, reply)])
    assert errors == []
    assert said(conversation) == [("user", "hi"), ("assistant", "hello")]


@pytest.mark.parametrize(
    "outputs",
    [
        {"choices": [{"message": HELLO}]},
        {"messages": [HI, HELLO]},
        HELLO,
        {"content": "hello"},
        {"generations": [{"text": "hello"}]},
    ],
)
def test_outputs_of_other_tracers_are_read(read, outputs):
    [conversation], _ = read([run("r1", [HI], inputs={"messages": [HI]}, outputs=outputs)])
    assert said(conversation) == [("user", "hi"), ("assistant", "hello")]


def test_of_a_dump_only_model_calls_with_a_reply_count_and_what_is_missing_is_said(read):
    history = [lc("HumanMessage", "hi")]
    internal = run("sum", history, lc("AIMessage", "summary"))
    internal["extra"]["metadata"]["lc_source"] = "summarization"
    notes = Counter()
    runs = {
        "runs": [
            run("root", history, lc("AIMessage", "x"), run_type="chain"),
            internal,
            run("failed", history, outputs=None, error="RateLimitError: slow down\nTraceback ..."),
            run("good", history, lc("AIMessage", "hello")),
        ]
    }
    [conversation], errors = read([runs], notes=notes)
    assert errors == []
    assert said(conversation) == [("user", "hi"), ("assistant", "hello")]
    assert conversation.alternatives == {}
    assert notes == {
        "entries that log no call of a chat model, left out": 2,
        "calls without a reply, left out": 1,
    }


def test_a_bad_run_among_others_in_one_row_is_named_by_its_number(read):
    runs = [run("r1", [HI], HELLO), run("r2", [lc("Evil", "x")]), run("r3", [HI], HELLO, thread="U")]
    conversations, [(where, problem)] = read([{"runs": runs}])
    assert [conversation.id for conversation in conversations] == ["T", "U"]
    assert where == "0.jsonl, item 2"
    assert problem.startswith("message 1: unknown role 'evil'")


def test_a_constructor_is_never_called_and_one_that_is_no_message_is_an_error(read):
    bad = lc("Popen", "x")
    bad["id"] = ["subprocess", "Popen"]
    [conversation], errors = read([run("bad", [bad], HELLO), run("good", [HI], HELLO, thread="ok")])
    assert conversation.id == "ok"
    [(where, problem)] = errors
    assert where == "0.jsonl:1" and problem.startswith("message 1: unknown role 'popen'; expected system, ")


def test_a_log_of_calls_may_be_begun_in_one_thread_and_read_on_in_another(tmp_path):
    runs = [run(f"r{n}", [lc("HumanMessage", f"hi {n}")], lc("AIMessage", "hello"), thread=f"T{n}") for n in range(3)]
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in runs))
    conversations = iter(read_conversations([path]))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, conversations).result()
    assert [first.id, *(each.id for each in conversations)] == ["T0", "T1", "T2"]
