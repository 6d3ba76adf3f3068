"""LangSmith runs: `Run` of langsmith 0.15.1, what its wrappers log, and its bulk export (docs of `data-export`)."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from support.call_logs import HELLO, HI, anthropic, lc, read_logs, response, run, said
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
            run("root", history, lc("AIMessage", "x"), run_type="chain", trace_id="good"),
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
    assert where == "0.jsonl:1, entry 2"
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


def chain(name, inputs, outputs, **fields):
    return run(name, [], inputs=inputs, outputs=outputs, run_type="chain", **fields)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"system": "Be brief.", "messages": [HI]}, {"message": anthropic("hello")}),
        (
            {"messages": [{"role": "system", "content": "Be brief."}, HI]},
            {"role": "assistant", "content": [{"type": "text", "text": "hello"}], "usage_metadata": {}},
        ),
        (
            {"instructions": "Be brief.", "input": "hi", "model": "gpt-5"},
            response("hello", {"type": "reasoning", "summary": []}),
        ),
        (
            {"messages": [{"role": "user", "content": "hi"}], "config": {"system_instruction": "Be brief."}},
            {"content": "hello", "role": "assistant", "finish_reason": "STOP", "usage_metadata": {}},
        ),
        (
            {"messages": [[lc("SystemMessage", "Be brief."), lc("HumanMessage", "hi")]]},
            {"generations": [[{"text": "hello", "message": lc("AIMessage", "hello")}]]},
        ),
    ],
    ids=["anthropic", "anthropic-flat", "responses", "gemini", "langchain"],
)
def test_what_the_wrappers_of_providers_log_is_read(read, inputs, outputs):
    for packed in (lambda value: value, json.dumps):
        [conversation], errors = read([run("r1", [], inputs=packed(inputs), outputs=packed(outputs))])
        assert errors == []
        assert said(conversation) == [("system", "Be brief."), ("user", "hi"), ("assistant", "hello")]


def test_calls_and_results_in_anthropics_blocks_are_no_words(read):
    history = [
        HI,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "stock", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "12"}]},
    ]
    outputs = {
        "content": None,
        "role": "assistant",
        "tool_calls": [{"id": "c2", "type": "function", "index": 0, "function": {"name": "stock", "arguments": "{}"}}],
    }
    [conversation], errors = read([run("r1", [], inputs={"messages": history}, outputs=outputs)])
    assert errors == []
    assert said(conversation) == [("user", "hi"), ("assistant", ""), ("tool", "12"), ("assistant", "")]
    assert [[call["id"] for call in message.tool_calls] for message in conversation.messages] == [
        [],
        ["c1"],
        [],
        ["c2"],
    ]


def test_rows_of_the_bulk_export_have_json_text_in_their_columns(read):
    row = run("r1", [HI], HELLO, feedback_stats={"user_score": {"n": 1, "avg": 1.0}})
    [conversation], errors = read(
        [{key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()}]
    )
    assert (errors, conversation.id, said(conversation)) == ([], "T", [("user", "hi"), ("assistant", "hello")])
    assert conversation.metadata == {"model": "gpt-4o", "rating": 1.0}
    assert conversation.ended is not None


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"messages": [HI]}, {"messages": [HI, HELLO]}),
        ({"messages": [HI]}, {"messages": [HELLO]}),
        (
            {"messages": [{"type": "human", "content": "hi"}]},
            {"messages": [{"type": "human", "content": "hi"}, {"type": "ai", "content": "hello"}]},
        ),
        ({"question": "hi"}, {"answer": "hello", "documents": []}),
        ({"input": "hi", "chat_history": []}, {"output": "hello"}),
        ({"input": "hi"}, {"output": lc("AIMessage", "hello")}),
        ({"messages": [HI]}, HELLO),
        ({"args": ["hi"], "kwargs": {}}, {"output": "hello"}),
    ],
)
def test_of_a_dump_of_root_runs_their_inputs_and_outputs_are_the_chat(read, inputs, outputs):
    [conversation], errors = read([chain("r1", inputs, outputs)])
    assert (errors, conversation.id) == ([], "T")
    assert said(conversation) == [("user", "hi"), ("assistant", "hello")]


def test_root_runs_of_a_thread_are_its_turns_whether_they_hold_the_chat_so_far_or_its_end(read):
    whole = [("user", "hi"), ("assistant", "hello"), ("user", "bye"), ("assistant", "ciao")]
    bye, ciao = {"role": "user", "content": "bye"}, {"role": "assistant", "content": "ciao"}
    ends = [
        chain("r1", {"question": "hi"}, {"answer": "hello"}, at=1),
        chain("r2", {"question": "bye"}, {"answer": "ciao"}, at=2),
    ]
    states = [
        chain("r1", {"messages": [HI]}, {"messages": [HI, HELLO]}, at=1),
        chain("r2", {"messages": [bye]}, {"messages": [HI, HELLO, bye, ciao]}, at=2),
    ]
    past = [{"type": "human", "content": "hi"}, {"type": "ai", "content": "hello"}]
    pasts = [
        chain("r1", {"input": "hi", "chat_history": []}, {"output": "hello"}, at=1),
        chain("r2", {"input": "bye", "chat_history": past}, {"output": "ciao"}, at=2),
    ]
    for runs in (ends, states, pasts):
        for order in (runs, runs[::-1]):
            [conversation], errors = read(order)
            assert (errors, said(conversation)) == ([], whole)


def test_root_runs_that_are_no_chat_are_counted(read):
    notes = Counter()
    runs = [chain("r1", {"rows": [1]}, {"sum": 1}), chain("r2", {}, None), run("r3", [HI], HELLO, run_type="tool")]
    assert read(runs, notes=notes)[0] == []
    assert notes["entries that log no call of a chat model, left out"] == 3


def test_of_a_trace_the_calls_count_and_its_root_only_where_none_was_logged(read):
    """The root's answer may be reworked by code; what the models said is in their runs."""
    call = run("call", [HI], HELLO, trace_id="root", parent_run_id="root")
    root = chain("root", {"question": "hi"}, {"answer": "*hello*"}, trace_id="root", parent_run_id=None)
    for runs in ([root, call], [call, root], [{**root, "child_runs": [{**call, "trace_id": "root"}]}]):
        [conversation], errors = read(runs)
        assert (errors, said(conversation)) == ([], [("user", "hi"), ("assistant", "hello")])
    [conversation], _ = read([root, {**call, "outputs": None}])
    assert said(conversation)[-1] == ("assistant", "*hello*")
