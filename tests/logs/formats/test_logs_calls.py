"""Logs of calls, grouped into conversations: Langfuse, batches of requests, and what all share.

Langfuse's shapes are those of its SDK 5.0.4 (`langfuse/api`), of its blob export (`observations_v2`), and of the tables
that its worker exports (`handleBatchExportJob.ts`).
"""

import json
from collections import Counter
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.call_logs import (
    HELLO,
    HI,
    answer,
    anthropic,
    observation,
    parts,
    read_logs,
    request,
    response,
    run,
    said,
)
from support.fakes import other_texts

from collab_sdk.logs import count_conversations, read_conversations


@pytest.fixture
def read(tmp_path):
    return partial(read_logs, tmp_path)


# Langfuse


def test_langfuse_generations_become_the_conversation_of_their_session(read):
    rows = [
        observation("o2", [HI, HELLO, {"role": "user", "content": "bye"}], {"role": "assistant", "content": "ciao"}),
        observation("o1", [HI], HELLO, start_time="2024-05-29 13:45:00", end_time="2024-05-29 13:45:01"),
        observation("span", [HI], {"role": "assistant", "content": "no"}, type="SPAN"),
    ]
    [conversation], errors = read(rows)
    assert errors == []
    assert conversation.id == "S"
    assert [text for _, text in said(conversation)] == ["hi", "hello", "bye", "ciao"]
    assert "ann" not in str(conversation)
    assert "secret" not in str(conversation)


def test_langfuse_definitions_of_tools_are_no_messages(read):
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    history = [HI, {"role": "tool", "content": tool}, {"role": "tool", "content": json.dumps(tool)}]
    [conversation], _ = read([observation("o1", history, HELLO)])
    assert said(conversation) == [("user", "hi"), ("assistant", "hello")]
    assert conversation.tools == (tool, tool)


def test_langfuse_results_of_tools_stay_messages_whatever_they_say(read):
    call = {"id": "c1", "type": "function", "function": {"name": "describe", "arguments": "{}"}}
    result = json.dumps({"type": "function", "function": {"name": "weather"}})
    steps = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result, "tool_call_id": "c1"},
    ]
    [conversation], _ = read([observation("o1", [HI, *steps], HELLO)])
    assert said(conversation)[2] == ("tool", result)


@pytest.mark.parametrize(
    "reply", ['"just text"', "just text", '{"content": "just text"}', '[{"content": "just text", "role": "assistant"}]']
)
def test_langfuse_outputs_may_be_text_or_messages(read, reply):
    reply = reply.strip('"')
    row = observation("o1", [HI], None, output=reply, input="hi")
    [conversation], _ = read([{"data": [row], "meta": {}}])
    assert said(conversation) == [("user", "hi"), ("assistant", "just text")]


def test_langfuse_errors_give_no_reply(read):
    notes = Counter()
    assert read([observation("o1", [HI], HELLO, level="ERROR", status_message="no")], notes=notes) == ([], [])
    assert notes == {"calls without a reply, left out": 1}


VERCEL = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
TRACE = {"id": "t", "timestamp": "2026-01-01T00:00:00Z", "name": "chat", "sessionId": "S", "tags": [], "release": None}


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ([HI], HELLO),
        ({"messages": [HI]}, {"choices": [{"message": HELLO}]}),
        (VERCEL, {"text": "hello", "toolCalls": []}),
        (VERCEL, {"text": "hello", "toolCalls": "[]"}),
        ({"messages": json.dumps(VERCEL["messages"])}, {"text": "hello"}),
        ([parts("user", "hi")], [parts("assistant", "hello")]),
        ({"system": [{"type": "text", "text": ""}], "messages": [HI]}, anthropic("hello")),
        ([{"type": "human", "content": "hi"}], {"type": "ai", "content": "hello"}),
        ({"contents": [{"parts": [{"text": "hi"}]}]}, {"candidates": [{"content": {"parts": [{"text": "hello"}]}}]}),
        ({"input": [HI]}, response("hello")),
        ("hi", "hello"),
    ],
    ids="messages openai vercel vercel-text vercel-packed otel anthropic langchain gemini responses text".split(),
)
@pytest.mark.parametrize("of", ["observation", "trace"])
def test_langfuse_inputs_and_outputs_of_every_integration_are_read(read, of, given, answered):
    for packed in (lambda value: value, lambda value: value if isinstance(value, str) else json.dumps(value)):
        row = observation("o1", None, None) if of == "observation" else TRACE
        [conversation], errors = read([{**row, "input": packed(given), "output": packed(answered)}])
        assert (errors, conversation.id) == ([], "S")
        assert said(conversation) == [("user", "hi"), ("assistant", "hello")]


def test_langfuse_calls_of_the_ai_sdk_are_calls(read):
    calls = [{"toolCallId": "c1", "toolName": "stock", "args": {"what": "rye"}}]
    [conversation], _ = read([observation("o1", None, None, input=VERCEL, output={"text": "", "toolCalls": calls})])
    assert conversation.messages[-1].tool_calls[0]["function"] == {"name": "stock", "arguments": '{"what":"rye"}'}


def test_langfuse_outputs_in_json_are_what_the_model_wrote(read):
    for output in ({"is_spam": False}, '{"is_spam":false}'):
        [conversation], _ = read([observation("o1", None, None, input=[HI], output=output)])
        assert said(conversation)[-1] == ("assistant", '{"is_spam":false}')


def test_langfuse_traces_are_the_turns_of_their_session(read):
    rows = [
        {**TRACE, "id": "t2", "timestamp": "2026-01-01T00:01:00Z", "input": {"query": "bye"}, "output": "ciao"},
        {**TRACE, "id": "t1", "input": {"query": "hi"}, "output": "hello", "user-feedback": [1]},
    ]
    for shape in (
        rows,
        [{"id": "S", "createdAt": "2026-01-01T00:00:00Z", "traces": rows}],
        [{"data": rows, "meta": {}}],
    ):
        [conversation], errors = read(shape)
        assert (errors, conversation.id) == ([], "S")
        assert [text for _, text in said(conversation)] == ["hi", "hello", "bye", "ciao"]
        assert conversation.metadata == {"rating": 1}
        assert conversation.ended == 1767225660


def test_langfuse_traces_with_observations_are_read_by_their_generations(read):
    call = observation("o1", [HI], HELLO, session=None)
    del call["session_id"]
    trace = {**TRACE, "input": "hi", "output": "**hello**", "scores": [{"name": "rating", "value": 4, "traceId": "t"}]}
    inside = {**trace, "observations": [{**call, "type": "SPAN", "id": "s"}, call]}
    downloaded = {"trace": trace, "observations": inside["observations"]}
    for rows in ([inside], [downloaded], [trace, call], [call, trace]):
        [conversation], errors = read(rows)
        assert (errors, conversation.id) == ([], "S")
        assert said(conversation) == [("user", "hi"), ("assistant", "hello")]
    [conversation], _ = read([inside])
    assert conversation.metadata == {"model": "gpt-4o", "rating": 4}


@pytest.mark.parametrize("name", [{}, {"name": "chat"}])
def test_langfuse_traces_of_text_may_have_few_keys(read, name):
    traces = [
        {
            "id": f"t{n}",
            "sessionId": "S",
            "timestamp": f"2026-01-01T00:00:0{n}Z",
            **name,
            "input": asked,
            "output": said,
        }
        for n, (asked, said) in enumerate([("hi", "hello"), ("bye", "ciao")])
    ]
    [conversation], errors = read(traces)
    assert (errors, conversation.id) == ([], "S")
    assert [text for _, text in said(conversation)] == ["hi", "hello", "bye", "ciao"]


@pytest.mark.parametrize(("given", "answered"), [("hi", "hello"), ({"question": "hi"}, {"answer": "hello"})])
@pytest.mark.parametrize("session", [{"sessionId": "S"}, {}])
def test_langfuse_generations_in_a_trace_of_text_are_read(read, session, given, answered):
    call = observation("o1", [{"role": "system", "content": "Be brief."}, HI], HELLO)
    del call["session_id"]
    trace = {"id": "t", "timestamp": "2026-01-01T00:00:00Z", **session, "input": given, "output": answered}
    for observations in ([call], json.dumps([call])):
        [conversation], errors = read([{**trace, "observations": observations}])
        assert said(conversation) == [("system", "Be brief."), ("user", "hi"), ("assistant", "hello")]
        assert errors == []
        assert (conversation.id == "S") == bool(session)


def test_langfuse_root_spans_stand_for_traces_without_generations(read):
    span = observation("s1", None, None, type="SPAN", input={"query": "hi"}, output="hello", parent_observation_id=None)
    inner = {**span, "id": "s2", "parent_observation_id": "s1", "output": "an inner step"}
    [conversation], errors = read([inner, span])
    assert (errors, said(conversation)) == ([], [("user", "hi"), ("assistant", "hello")])


# OpenAI batch files


@pytest.mark.parametrize("swapped", [False, True])
def test_batch_requests_and_answers_are_joined_across_files_in_either_order(read, swapped):
    files = [[request("a", "one"), request("b", "two", n=2)], [answer("b", "2", "II"), answer("a", "1")]]
    conversations, errors = read(*(files[::-1] if swapped else files))
    assert errors == []
    assert [[text for _, text in said(c)] for c in conversations] == [["one", "1"], ["two", "2"]]
    assert [other_texts(c) for c in conversations] == [{}, {0: ("II",)}]


def test_batch_halves_without_the_other_are_named_or_counted(read):
    failed = {"custom_id": "c", "response": {"status_code": 400, "body": {"error": {"message": "no"}}}}
    notes = Counter()
    conversations, errors = read([request("a", "one"), answer("b", "2"), request("c", "x"), failed], notes=notes)
    assert conversations == []
    assert errors == [("0.jsonl:2", "a reply to 'b', whose request is in none of the files")]
    assert notes["calls without a reply, left out"] == 2


def test_a_custom_id_that_two_batches_use_is_refused(read):
    conversations, errors = read([request("a", "one"), answer("a", "1")], [request("a", "two"), request("a", "one")])
    assert [said(c)[0] for c in conversations] == [("user", "one")]
    assert errors == [("1.jsonl:1", "duplicate id 'a'; an earlier call has it")]


# All


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"id": "r", "run_type": "llm"}, "the messages must be a list, not null"),
        (run("", [HI], HELLO), "no id: id must be text"),
        (run("r", [{"lc": 1, "type": "constructor"}]), "message 1: an lc constructor must have an id and kwargs"),
        (run("r", [{"role": "user", "content": None}]), "message 1: content must be a string"),
        (observation("o", [5], HELLO), "message 1: a message must be an object with role and content, not int"),
        ({"custom_id": "a", "body": 5}, "body must be an object, not int"),
    ],
)
def test_a_bad_call_is_an_error_with_its_place_and_the_others_are_read(read, row, problem):
    conversations, errors = read([row, run("good", [HI], HELLO)])
    assert [conversation.id for conversation in conversations] == ["T"]
    assert [where for where, _ in errors] == ["0.jsonl:1"]
    assert errors[0][1].startswith(problem)


def test_calls_are_not_counted_as_conversations(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(run("r", [HI], HELLO)))
    assert count_conversations([path]) is None


def test_nothing_is_left_behind_when_reading_stops_early(read, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "runs.jsonl").write_text(
        "".join(json.dumps(run(f"r{n}", [HI], HELLO, thread=f"{n}")) + "\n" for n in range(5))
    )
    conversations = read_conversations([tmp_path / "runs.jsonl"])
    next(conversations)
    assert len(list(tmp_path.iterdir())) == 2
    conversations.close()
    assert [path.name for path in tmp_path.iterdir()] == ["runs.jsonl"]


words = st.sampled_from(
    ["user", "assistant", "tool", "human", "ai", "constructor", "text", "tool_call", "HumanMessage"]
)
keys = st.sampled_from(
    ["role", "type", "content", "parts", "tool_calls", "lc", "id", "kwargs", "message", "messages", "generations",
     "choices", "name", "arguments", "response", "data", "function", "tools"]
)  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50)  # each makes a store
@given(inputs=anything, outputs=anything)
def test_wild_calls_raise_nothing_but_input_errors(tmp_path_factory, inputs, outputs):
    path = tmp_path_factory.mktemp("wild") / "log.jsonl"
    rows = [
        run("r", [HI], inputs=inputs, outputs=outputs),
        observation("o", inputs, outputs),
        {"custom_id": "b", "body": inputs},
        {"custom_id": "b", "response": outputs},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    list(read_conversations([path], on_error=lambda error: None))
