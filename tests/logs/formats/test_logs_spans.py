"""Traces: spans and log records of every convention, in whatever holds them.

The files in `traces` were logged by the packages, of the versions, that they are named after: the same questions about
opening hours were asked of a local server, and resources, times of events that no one reads and addresses taken out.
"""

import base64
import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.call_logs import HELLO, HI, parts, read_logs, said, span

from collab_sdk.errors import InputError
from collab_sdk.logs import read_conversations

TRACES = Path(__file__).parent / "traces"
NO_CALL = "entries that log no call of a chat model, left out"
NO_MESSAGES = (
    "calls whose messages were not logged, left out (OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true in the app"
    " that is traced has OpenTelemetry log them)"
)
PICTURE = "[image] in place of content that is not text"
ASKED, ANSWERED = ("user", "Rye?"), ("assistant", "Yes.")

HOURS = [
    ("system", "Be brief."),
    ("user", "Open on Monday?"),
    ("assistant", ""),
    ("tool", '{"until": 6}'),
    ("assistant", "Until six."),
]
PICTURED = [("user", "What is this?\n[image]"), ("assistant", "Until six.")]
BRIEF = [("system", "Be brief."), ("user", "Open?"), ("assistant", "Until six.")]


@pytest.fixture
def read(tmp_path):
    return partial(read_logs, tmp_path)


def chat(attributes, *, events=(), trace="t1", number="s1", at="2026-01-01T00:00:00Z", **fields):
    """A span as Python's SDK prints it."""
    return {
        "name": "chat gpt-4o",
        "context": {"trace_id": trace, "span_id": number},
        "start_time": at,
        "end_time": at,
        "attributes": attributes,
        "events": [{"name": name, "attributes": body} for name, body in events],
        **fields,
    }


# What packages log


@pytest.mark.parametrize(
    ("producer", "chats", "notes"),
    [
        ("opentelemetry-instrumentation-openai-v2-2.4b0-attributes", [HOURS], {NO_MESSAGES: 1}),
        ("opentelemetry-instrumentation-openai-v2-2.4b0-details", [HOURS], {NO_MESSAGES: 1}),
        ("opentelemetry-instrumentation-openai-v2-2.4b0-events", [HOURS, PICTURED], {PICTURE: 1}),
        ("opentelemetry-instrumentation-openai-0.40.14", [HOURS], {NO_MESSAGES: 1}),
        ("opentelemetry-instrumentation-openai-0.62.4", [HOURS, BRIEF], {NO_MESSAGES: 1}),
        ("opentelemetry-instrumentation-openai-0.62.4-events", [HOURS, PICTURED, BRIEF], {PICTURE: 1}),
        ("mlflow-tracing-3.17.2", [HOURS[:3]], {NO_CALL: 1}),
        ("pydantic-ai-slim-2.68.0", [[*HOURS[:3], ("tool", "6"), HOURS[4]]], {NO_CALL: 2}),
    ],
)
def test_what_a_package_logs_is_read(producer, chats, notes):
    """A question that is a picture alone is one that the packages leave out, all but in events."""
    found = Counter()
    conversations = list(read_conversations([TRACES / f"{producer}.jsonl"], notes=found))
    assert [said(conversation) for conversation in conversations] == chats
    assert found == notes
    [call] = conversations[0].messages[2].tool_calls
    assert call == {"id": "c1", "type": "function", "function": {"name": "hours", "arguments": '{"day":"Monday"}'}}
    assert all(conversation.metadata["model"].startswith("gpt-4o") for conversation in conversations)


def test_what_openinference_logs_is_read_where_indices_begin_late_and_arguments_are_missing():
    found = Counter()
    [hours, pictured, brief, called] = read_conversations(
        [TRACES / "openinference-instrumentation-openai-0.1.66.jsonl"], notes=found
    )
    assert [said(one) for one in (hours, pictured, brief)] == [HOURS, PICTURED, BRIEF]
    assert said(called) == [("user", "Open?"), ("assistant", ""), ("tool", "6"), ("assistant", "Until six.")]
    assert called.messages[1].tool_calls[0]["function"]["arguments"] == "{}"
    assert hours.tools[0]["function"]["name"] == "hours"
    assert found == {PICTURE: 1}


def test_an_mlflow_trace_has_its_session_and_its_tools():
    [conversation] = read_conversations([TRACES / "mlflow-tracing-3.17.2.jsonl"])
    assert conversation.id == "s1"
    assert [tool["function"]["name"] for tool in conversation.tools] == ["hours"]


# OpenTelemetry's own conventions


def test_spans_are_read_with_instructions_tools_and_without_thoughts(read):
    call = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Rome"}}
    result = {"type": "tool_call_response", "id": "c1", "response": {"sky": "grey"}}
    picture = {"type": "blob", "modality": "image", "content": "..."}
    history = [
        {"role": "user", "parts": [{"type": "text", "content": "weather?"}, picture]},
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [result]},
    ]
    reply = {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, *parts("", "It rains.")["parts"]]}
    instructions = json.dumps([{"type": "text", "content": "Be brief."}])
    row = span("s1", history, [reply], **{"gen_ai.system_instructions": instructions})
    agent = span("s0", history, [reply], conversation="A", **{"gen_ai.operation.name": "invoke_agent"})
    [conversation], errors = read([agent, row])
    assert errors == []
    assert conversation.id == "C"
    assert said(conversation) == [
        ("system", "Be brief."),
        ("user", "weather?\n[image]"),
        ("assistant", ""),
        ("tool", '{"sky":"grey"}'),
        ("assistant", "It rains."),
    ]


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("spelling", ["parts", "content", "text"])
def test_messages_may_have_parts_or_content_as_text_or_not(read, spelling, structured):
    part = {"parts": lambda text: {"parts": [{"type": "text", "content": text}]},
            "content": lambda text: {"content": text},
            "text": lambda text: {"content": [{"type": "text", "text": text}]}}[spelling]  # fmt: skip
    asked, answered = (
        [{"role": "user", **part("Rye?")}],
        [{"role": "assistant", **part("Yes."), "finish_reason": "stop"}],
    )
    packed = (lambda value: value) if structured else json.dumps
    row = chat({"gen_ai.input.messages": packed(asked), "gen_ai.output.messages": packed(answered)})
    [conversation], errors = read([row])
    assert (said(conversation), errors) == ([ASKED, ANSWERED], [])


def test_instructions_that_are_a_message_too_are_one(read):
    attributes = {
        "gen_ai.input.messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Rye?"}],
        "gen_ai.output.messages": [{"role": "assistant", "content": "Yes."}],
        "gen_ai.system_instructions": [{"type": "text", "content": "s"}],
    }
    [conversation], _ = read([chat(attributes)])
    assert said(conversation) == [("system", "s"), ASKED, ANSWERED]


OPERATION = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}


@pytest.mark.parametrize(
    ("attributes", "events"),
    [
        pytest.param(
            {"gen_ai.prompt": json.dumps([{"role": "user", "content": "Rye?"}]),
             "gen_ai.completion": json.dumps([{"role": "assistant", "content": "Yes."}])}, [],
            id="semantic-conventions 1.27, attributes"),
        pytest.param({"gen_ai.prompt": "Rye?", "gen_ai.completion": "Yes."}, [], id="plain text"),
        pytest.param(
            {}, [("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps([{"role": "user", "content": "Rye?"}])}),
                 ("gen_ai.content.completion",
                  {"gen_ai.completion": json.dumps([{"role": "assistant", "content": "Yes."}])})],
            id="semantic-conventions 1.27, events"),
        pytest.param(
            {}, [("gen_ai.user.message", {"role": "user", "content": "Rye?"}),
                 ("gen_ai.choice", {"index": 0, "finish_reason": "stop",
                                    "message": json.dumps({"role": "assistant", "content": "Yes."})})],
            id="semantic-conventions 1.28 to 1.36"),
        pytest.param(
            {}, [("gen_ai.user.message", {"gen_ai.event.content": json.dumps({"role": "user", "content": "Rye?"})}),
                 ("gen_ai.choice", {"gen_ai.event.content": json.dumps({"message": {"content": "Yes."}, "index": 0})})],
            id="azure-ai-inference 1.0.0b9, tracing.py"),
        pytest.param(
            {}, [("gen_ai.user.message", {"content": json.dumps([{"text": "Rye?"}])}),
                 ("gen_ai.choice", {"finish_reason": "end_turn", "message": json.dumps([{"text": "Yes."}])})],
            id="strands-agents 1, telemetry/tracer.py"),
        pytest.param(
            {}, [("gen_ai.client.inference.operation.details",
                  {"gen_ai.input.messages": json.dumps([parts("user", "Rye?")])}),
                 ("gen_ai.client.inference.operation.details",
                  {"gen_ai.output.messages": json.dumps([parts("assistant", "Yes.")])})],
            id="strands-agents 1, gen_ai_latest_experimental"),
        pytest.param(
            {"events": json.dumps([
                {"event.name": "gen_ai.user.message", "content": "Rye?", "role": "user", "gen_ai.message.index": 0},
                {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "Yes."}}])},
            [], id="pydantic-ai 0.4, instrumentation version 1"),
        pytest.param(
            {"gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "Rye?", "gen_ai.completion.0.content": "Yes.",
             "gen_ai.prompt.prompt_filter_results": "[{}]", "gen_ai.completion.0.finish_reason": "stop"},
            [], id="OpenLLMetry, of Azure, with an index missing and no role"),
        pytest.param(
            {"gen_ai.prompt.0.role": "user", "gen_ai.completion.0.role": "assistant",
             "gen_ai.prompt.0.content": json.dumps([{"type": "text", "text": "Rye?"}]),
             "gen_ai.completion.0.content": "Yes."}, [], id="OpenLLMetry, with parts"),
    ],
)  # fmt: skip
def test_older_conventions_are_read(read, attributes, events):
    [conversation], errors = read([chat({**OPERATION, **attributes}, events=events)])
    assert (said(conversation), errors) == ([ASKED, ANSWERED], [])
    assert conversation.metadata["model"] == "gpt-4o"


def test_calls_and_results_in_events_are_linked(read):
    """As strands-agents 1 logs them, telemetry/tracer.py."""
    use = {"toolUse": {"toolUseId": "c1", "name": "find", "input": {"a": 1}}}
    result = {"toolResult": {"toolUseId": "c1", "status": "success", "content": [{"text": "42"}]}}
    events = [
        ("gen_ai.user.message", {"content": json.dumps([{"text": "Rye?"}])}),
        ("gen_ai.assistant.message", {"content": json.dumps([{"text": "Let me look."}, use])}),
        ("gen_ai.tool.message", {"content": json.dumps([result])}),
        ("gen_ai.choice", {"message": json.dumps([{"text": "Yes."}])}),
    ]
    cycle = chat({"event_loop.cycle_id": "1"}, events=events, number="s0")
    notes = Counter()
    [conversation], errors = read([cycle, chat(OPERATION, events=events)], notes=notes)
    assert errors == []
    assert said(conversation) == [ASKED, ("assistant", "Let me look."), ("tool", "42"), ANSWERED]
    assert conversation.messages[2].tool_call_id == conversation.messages[1].tool_calls[0]["id"] == "c1"
    assert notes == {NO_CALL: 1}


@pytest.mark.parametrize(
    "text", ['{"city": "Rome"}', '["Rome"]', '{"city": broken', "[1] is the source", "{{x}}", "[[x]] is"]
)
def test_a_reply_that_is_json_or_looks_like_it_is_text(read, text):
    row = chat({"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": text, "gen_ai.completion.0.content": text})
    [conversation], errors = read([row])
    assert (said(conversation), errors) == ([("user", text), ("assistant", text)], [])


# Events as log records, in rows of their own


def record(name, body, **fields):
    return {"body": body, "attributes": {}, "trace_id": "0xt1", "span_id": "0xs1", "event_name": name, **fields}


def test_records_are_joined_to_their_span_in_the_order_of_their_times_wherever_they_are(read):
    history = [
        record("gen_ai.user.message", {"content": "Rye?"}, observed_timestamp="2026-01-01T00:00:01Z"),
        record("gen_ai.assistant.message", {"content": "Which?"}, observed_timestamp="2026-01-01T00:00:02Z"),
        record("gen_ai.user.message", {"content": "This."}, observed_timestamp="2026-01-01T00:00:03Z"),
        record("gen_ai.choice", {"index": 0, "message": {"role": "assistant", "content": "Yes."}}),
    ]
    [conversation], errors = read(history[::-1], [chat({**OPERATION, "session.id": "S"})], history)
    assert errors == []
    assert said(conversation) == [ASKED, ("assistant", "Which?"), ("user", "This."), ANSWERED]
    assert conversation.id == "S"


def test_the_same_text_twice_without_times_is_two_messages(read):
    asked = record("gen_ai.user.message", {"content": "Rye?"})
    [conversation], _ = read([asked, asked, record("gen_ai.choice", {"message": {"content": "Yes."}})])
    assert said(conversation) == [ASKED, ASKED, ANSWERED]


def test_details_beside_the_span_that_has_them_too_are_read_once(read):
    """As opentelemetry-instrumentation-openai-v2 2.4b0 logs them with SPAN_AND_EVENT."""
    attributes = {**OPERATION, "gen_ai.input.messages": [HI], "gen_ai.output.messages": [HELLO]}
    details = record("gen_ai.client.inference.operation.details", None, attributes=attributes)
    conversations, errors = read([details, chat(attributes)])
    assert [said(one) for one in conversations] == [[("user", "hi"), ("assistant", "hello")]]
    assert errors == []


def test_details_outside_of_any_span_are_a_call_and_single_messages_an_error(read):
    attributes = {**OPERATION, "gen_ai.input.messages": [HI], "gen_ai.output.messages": [HELLO]}
    outside = {"trace_id": "0x" + "0" * 32, "span_id": "0x" + "0" * 16}
    details = record("gen_ai.client.inference.operation.details", None, attributes=attributes, **outside)
    conversations, errors = read([details, record("gen_ai.user.message", {"content": "x"}, **outside)])
    assert [said(one) for one in conversations] == [[("user", "hi"), ("assistant", "hello")]]
    assert errors == [("0.jsonl:2", "an event outside of any span, so that nothing tells which call it is of")]


@pytest.mark.parametrize("kept", [True, False])
def test_messages_that_were_not_logged_are_counted(read, kept):
    """As opentelemetry-instrumentation-openai-v2 2.4b0 logs calls without capture of content."""
    events = [
        record("gen_ai.user.message", {}),
        record("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}),
    ]
    notes = Counter()
    assert read([*(events if kept else []), chat(OPERATION)], notes=notes) == ([], [])
    assert notes == {NO_MESSAGES: 1}


def test_records_have_the_text_that_was_taken_out_of_attributes(read):
    """aws-otel-python-instrumentation at 6eacef2, llo_handler.py: roles stay on the span."""
    left = {"gen_ai.prompt.0.role": "user", "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.finish_reason": "stop"}  # fmt: skip
    notes = Counter()
    assert read([chat({**OPERATION, **left})], notes=notes) == ([], [])
    assert notes == {NO_MESSAGES: 1}
    records = [
        record("gen_ai.user.message", {"content": "Rye?", "role": "user"}),
        record("gen_ai.choice", {"message": {"content": "Yes.", "role": "assistant"}}),
    ]
    [conversation], errors = read([*records, chat({**OPERATION, **left})])
    assert (said(conversation), errors) == ([ASKED, ANSWERED], [])


def test_text_that_openinference_hides_is_not_read(read):
    row = chat({
        "openinference.span.kind": "LLM",
        "input.value": "__REDACTED__",
        "output.value": "__REDACTED__",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "__REDACTED__",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "__REDACTED__",
    })  # fmt: skip
    notes = Counter()
    assert read([row], notes=notes) == ([], [])
    assert notes == {NO_MESSAGES: 1}


# What holds spans


MESSAGES = {"gen_ai.input.messages": [parts("user", "Rye?")], "gen_ai.output.messages": [parts("assistant", "Yes.")]}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "session.id": "S",
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "Rye?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.contents.0.message_content.type": "text",
    "llm.output_messages.0.message.contents.0.message_content.text": "Yes.",
}


def otlp(value):
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": otlp(one)} for key, one in value.items()]}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [otlp(one) for one in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def keys(attributes):
    return [{"key": key, "value": otlp(value)} for key, value in attributes.items()]


def nested(attributes):
    found = {}
    for key, value in attributes.items():
        *steps, last = key.split(".")
        node = found
        for step in steps:
            node = node.setdefault(step, {})
        node[last] = value
    return found


PHOENIX = {
    "llm": {
        "input_messages": [{"message": {"role": "user", "content": "Rye?"}}],
        "output_messages": [{"message": {"role": "assistant", "content": "Yes."}}],
    },
    "session": {"id": "S"},
}
SPAN = {"name": "chat", "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601000000000"}
IDS = {"traceId": "t1", "spanId": "s1"}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"resourceSpans": [{"scopeSpans": [{"spans": [{**SPAN, **IDS, "attributes": keys(MESSAGES)}]}]}]},
                     id="OTLP JSON, as the collector's file exporter writes it"),
        pytest.param({"resource_spans": [{"scope_spans": [{"spans": [
            {"trace_id": "t1", "span_id": "s1", "start_time_unix_nano": "1", "attributes": keys(OPENINFERENCE)}]}]}]},
            id="OTLP JSON with the names of its protocol buffers"),
        pytest.param({"batches": [{"scopeSpans": [{"spans": [{**SPAN, **IDS, "attributes": keys(OPENINFERENCE)}]}]}]},
                     id="Tempo 2, /api/traces"),
        pytest.param({"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": [
            {**SPAN, **IDS, "attributes": keys(MESSAGES)}]}]}]}, id="OTLP before 0.19"),
        pytest.param({"resourceLogs": [{"scopeLogs": [{"logRecords": [
            {**IDS, "timeUnixNano": "1", "eventName": "gen_ai.user.message", "body": otlp({"content": "Rye?"})},
            {**IDS, "timeUnixNano": "2", "attributes": keys({"event.name": "gen_ai.choice"}),
             "body": otlp({"index": 0, "message": {"role": "assistant", "content": "Yes."}})}]}]}]}, id="OTLP logs"),
        pytest.param({"data": [{"traceID": "t1", "processes": {"p1": {"serviceName": "s", "tags": []}}, "spans": [
            {"traceID": "t1", "spanID": "s1", "operationName": "chat", "startTime": 1767225600000000, "duration": 9,
             "tags": [{"key": key, "type": "string", "value": value} for key, value in OPENINFERENCE.items()]}]}]},
            id="Jaeger 1, /api/traces"),
        pytest.param([{"traceId": "t1", "id": "s1", "name": "chat", "timestamp": 1767225600000000, "duration": 9,
                       "tags": OPENINFERENCE}], id="Zipkin 2"),
        pytest.param({"data": [{"id": "U3Bhbjox", "name": "chat", "span_kind": "LLM", "parent_id": None,
                                "context": {"trace_id": "t1", "span_id": "s1"}, "attributes": OPENINFERENCE}],
                      "next_cursor": None}, id="Phoenix 12, /v1/projects/NAME/spans"),
        pytest.param({"name": "chat", "context": {"trace_id": "t1", "span_id": "s1"}, "span_kind": "LLM",
                      "attributes": PHOENIX}, id="Phoenix, nested"),
        pytest.param({"name": "chat", "span_kind": "LLM", "context.trace_id": "t1", "context.span_id": "s1",
                      "attributes.llm.input_messages": [{"message.role": "user", "message.content": "Rye?"}],
                      "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "Yes."}],
                      "attributes.session.id": "S", "attributes.input.value": None}, id="Phoenix, a dataframe's rows"),
        pytest.param({"name": "chat", "span_kind": "LLM", "context.trace_id": "t1", "context.span_id": "s1",
                      "attributes.llm.input_messages": '[{"message.role": "user", "message.content": "Rye?"}]',
                      "attributes.llm.output_messages": '[{"message.role": "assistant", "message.content": "Yes."}]'},
                     id="Phoenix, a dataframe's rows with JSON text"),
        pytest.param({"trace_id": "t1", "span_id": "s1", "span_name": "chat", "start_timestamp": "2026-01-01T00:00:00Z",
                      "attributes": json.dumps(MESSAGES), "otel_events": "[]"}, id="Logfire 4, rows of a query"),
    ],
)  # fmt: skip
def test_spans_are_read_out_of_what_holds_them(read, row):
    [conversation], errors = read([row])
    assert (said(conversation), errors) == ([ASKED, ANSWERED], [])


def test_otlp_files_hold_many_spans_a_row_with_typed_values(read):
    attributes = {"gen_ai.input.messages": [parts("user", "hi")], "gen_ai.output.messages": [parts("assistant", "yo")]}
    spans = [
        {"traceId": "t", "spanId": name, "startTimeUnixNano": "1544712660000000000",
         "attributes": [*keys(attributes), *keys({"gen_ai.usage.input_tokens": 12})]}
        for name in ("s1", "s2")
    ]  # fmt: skip
    conversations, errors = read([{"resourceSpans": [{"scopeSpans": [{"spans": [*spans, {"name": "http"}]}]}]}])
    assert errors == []
    assert [said(conversation) for conversation in conversations] == [[("user", "hi"), ("assistant", "yo")]] * 2


# Others that trace


def test_mlflow_2_is_read_too(read):
    """mlflow 2.22, entities/trace.py: ids and attributes of older spans, and what was cut of the metadata."""
    spans = [
        {"name": "ChatOpenAI", "context": {"trace_id": "0xa", "span_id": "0x1"}, "start_time": 1, "end_time": 2,
         "attributes": {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": json.dumps([[
             {"type": "human", "content": "Rye?"}]]), "mlflow.spanOutputs": json.dumps(
             {"generations": [[{"text": "Yes.", "message": {"type": "ai", "content": "Yes."}}]]})}}
    ]  # fmt: skip
    info = {"request_id": "tr-1", "request_metadata": {"mlflow.trace.session": "S", "mlflow.traceInputs": '{"me'}}
    [conversation], errors = read([{"info": info, "data": {"spans": spans}}])
    assert (conversation.id, said(conversation), errors) == ("S", [ASKED, ANSWERED], [])


@pytest.mark.parametrize(
    ("request_body", "response"),
    [
        ({"model": "m", "system": "s", "messages": [{"role": "user", "content": "Rye?"}]},
         {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Yes."}]}),
        ({"model": "m", "instructions": "s", "input": "Rye?"},
         {"object": "response", "text": {"format": {"type": "text"}}, "output": [
             {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
             {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}]}),
        ({"contents": "Rye?", "config": {"system_instruction": "s"}},
         {"candidates": [{"content": {"role": "model", "parts": [{"text": "Yes."}]}}]}),
        ({"modelId": "m", "system": [{"text": "s"}], "messages": [{"role": "user", "content": [{"text": "Rye?"}]}]},
         {"output": {"message": {"role": "assistant", "content": [{"text": "Yes."}]}}}),
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Rye?"}]},
         {"choices": [{"message": {"role": "assistant", "content": "Yes."}}]}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("names", ["mlflow.span{}s", "{}.value", "langfuse.observation.{}"])
def test_requests_and_responses_of_any_provider_are_read(read, request_body, response, names):
    asked, answered = (names.format(name.capitalize() if "mlflow" in names else name) for name in ("input", "output"))
    kind = {"mlflow.spanType": '"CHAT_MODEL"', "openinference.span.kind": "LLM"}
    [conversation], errors = read([chat({**kind, asked: json.dumps(request_body), answered: json.dumps(response)})])
    assert (said(conversation), errors) == ([("system", "s"), ASKED, ANSWERED], [])


def test_the_ai_sdk_is_read_with_calls_tools_and_session(read):
    """ai 5, docs/03-ai-sdk-core/60-telemetry.mdx."""
    prompt = [{"role": "user", "content": [{"type": "text", "text": "Rye?"}]}]
    outer = {
        "ai.operationId": "ai.streamText",
        "ai.prompt": json.dumps({"messages": prompt}),
        "ai.response.text": "Yes.",
    }
    inner = {
        "ai.operationId": "ai.streamText.doStream",
        "ai.prompt.messages": json.dumps(prompt),
        "ai.prompt.tools": [json.dumps({"type": "function", "name": "find", "inputSchema": {"type": "object"}})],
        "ai.response.text": "Yes.",
        "ai.response.toolCalls": json.dumps(
            [{"type": "tool-call", "toolCallId": "c1", "toolName": "find", "input": {}}]
        ),
        "ai.response.reasoning": "Hm.",
        "ai.telemetry.metadata.sessionId": "S",
    }
    notes = Counter()
    [conversation], errors = read([chat(outer, number="s0"), chat(inner)], notes=notes)
    assert errors == []
    assert (conversation.id, said(conversation)) == ("S", [ASKED, ANSWERED])
    assert [call["function"]["name"] for call in conversation.messages[1].tool_calls] == ["find"]
    assert conversation.tools[0]["function"] == {"name": "find", "parameters": {"type": "object"}}
    assert notes[NO_CALL] == 1


def test_openllmetry_has_its_session_and_functions(read):
    """opentelemetry-instrumentation-openai 0.40.14."""
    row = chat({
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Rye?",
        "gen_ai.completion.0.content": "Yes.",
        "gen_ai.request.temperature": 0.5,
        "llm.request.functions.0.name": "find",
        "llm.request.functions.0.parameters": json.dumps({"type": "object"}),
        "traceloop.association.properties.session_id": "S",
    })  # fmt: skip
    [conversation], errors = read([row])
    assert (conversation.id, said(conversation), errors) == ("S", [ASKED, ANSWERED], [])
    assert conversation.tools[0]["function"] == {"name": "find", "parameters": {"type": "object"}}


CHAT = {"messages": [{"role": "user", "content": "Rye?"}]}
LC = ["langchain", "schema", "messages"]


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param(
            {"traceloop.span.kind": "workflow", "traceloop.entity.output": '"Yes."',
             "traceloop.entity.input": json.dumps({"args": [], "kwargs": {"question": "Rye?"}})},
            id="traceloop-sdk 0.40, a decorated workflow"),
        pytest.param(
            {"traceloop.span.kind": "workflow", "traceloop.entity.output": json.dumps({"outputs": "Yes."}),
             "traceloop.entity.input": json.dumps({"inputs": {"input": "Rye?"}, "tags": [], "kwargs": {"name": "x"}})},
            id="opentelemetry-instrumentation-langchain 0.40"),
        pytest.param(
            {"langsmith.span.kind": "llm", "gen_ai.prompt": json.dumps(CHAT),
             "gen_ai.completion": json.dumps({"role": "assistant", "content": "Yes."})},
            id="langsmith 0.4, _internal/otel"),
        pytest.param(
            {"langsmith.span.kind": "LLM",
             "gen_ai.prompt": json.dumps({"messages": [[{"lc": 1, "type": "constructor", "id": [*LC, "HumanMessage"],
                                                         "kwargs": {"content": "Rye?", "type": "human"}}]]}),
             "gen_ai.completion": json.dumps({"generations": [[{"text": "Yes.", "message": {
                 "lc": 1, "type": "constructor", "id": [*LC, "AIMessage"], "kwargs": {"content": "Yes."}}}]]})},
            id="langsmith 0.4, of LangChain"),
        pytest.param(
            {"langfuse.observation.type": "generation", "langfuse.observation.input": json.dumps(CHAT["messages"]),
             "langfuse.observation.output": "Yes."}, id="langfuse 3, _client/attributes.py"),
    ],
)  # fmt: skip
def test_bodies_under_the_names_of_other_tracers_are_read(read, attributes):
    [conversation], errors = read([chat(attributes)])
    assert (said(conversation), errors) == ([ASKED, ANSWERED], [])


def test_choices_are_alternatives(read):
    attributes = {
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Rye?",
        **{f"gen_ai.completion.{number}.content": text for number, text in enumerate(["Yes.", "No.", "Maybe."])},
    }
    [conversation], _ = read([chat(attributes)])
    assert sorted(message.content for [message] in conversation.alternatives[0]) == ["Maybe.", "No."]


# Sessions, agents and what cannot be read


def test_a_session_that_another_span_of_the_trace_names_is_that_of_the_call(read):
    root = chat({"langfuse.session.id": "S"}, number="s0")
    [conversation], _ = read([chat({**OPERATION, **MESSAGES}), root])
    assert conversation.id == "S"


def test_calls_that_name_no_session_are_joined_where_one_goes_on_from_another(read):
    history = [parts("user", "Rye?"), parts("assistant", "Yes."), parts("user", "Thanks.")]
    later = {"gen_ai.input.messages": history, "gen_ai.output.messages": [parts("assistant", "Bye.")]}
    [conversation], _ = read([chat(later, trace="t2", at="2026-01-01T00:00:09Z"), chat(MESSAGES)])
    assert said(conversation) == [ASKED, ANSWERED, ("user", "Thanks."), ("assistant", "Bye.")]


AGENT = {"openinference.span.kind": "AGENT", "input.value": "Rye?", "output.value": "Yes."}


def test_agents_are_read_where_their_trace_has_no_call_and_the_outermost_alone(read):
    inner = chat(AGENT, number="s2", at="2026-01-01T00:00:05Z")
    outer = {**chat(AGENT), "end_time": "2026-01-01T00:00:09Z"}
    notes = Counter()
    [conversation], errors = read([inner, outer], notes=notes)
    assert (said(conversation), errors) == ([ASKED, ANSWERED], [])
    assert notes == {NO_CALL: 1}


def test_agents_whose_trace_has_calls_are_counted_and_not_read_even_where_they_are_cut(read):
    cut = chat({**AGENT, "input.value": '{"messages": [{"ro'}, number="s0")
    notes = Counter()
    [conversation], errors = read([cut, chat(AGENT, number="s2"), chat(MESSAGES)], notes=notes)
    assert (said(conversation), errors) == ([ASKED, ANSWERED], [])
    assert notes == {NO_CALL: 2}
    conversations, errors = read([cut])
    assert conversations == []
    assert [where for where, _ in errors] == ["0.jsonl:1"]
    assert errors[0][1].startswith("input.value is cut off after 18 characters")


def test_a_whole_run_is_read_where_only_the_agent_logs_it(read):
    """pydantic-ai-slim 2.68.0, with spans of the models left out."""
    rows = [json.loads(line) for line in (TRACES / "pydantic-ai-slim-2.68.0.jsonl").read_text().splitlines()]
    [conversation], errors = read([row for row in rows if row["name"].startswith("invoke_agent")])
    assert (said(conversation), errors) == ([*HOURS[:3], ("tool", "6"), HOURS[4]], [])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (chat({**MESSAGES, "gen_ai.input.messages": 5}), "the messages must be a list, not int"),
        (span("s", [{"role": "user", "content": "x"}], []) | {"context": {}}, "a span must have trace_id and span_id"),
        (span("s", [parts("narrator", "x")], []), "message 1: unknown role 'narrator'"),
        (chat({**MESSAGES, "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","con'}),
         "gen_ai.input.messages is cut off after 44 characters"),
        (chat({**MESSAGES, "gen_ai.input.messages": "[{'role': 'user', 'content': 'Rye?'}]"}),
         "gen_ai.input.messages is what Python prints of an object, not JSON"),
        (chat({"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": '[{"type":"text","text":"Ry'}),
         "content is cut off after 26 characters"),
        (chat({"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": '"Ry'}), "mlflow.spanInputs is cut off after 3"),
        (chat(OPERATION, events=[("gen_ai.choice", {"message": "{'role': 'assistant', 'content': 'Yes.'}"})]),
         "message is what Python prints of an object, not JSON"),
    ],
)  # fmt: skip
def test_a_bad_span_is_an_error_with_its_place_and_the_others_are_read(read, row, problem):
    conversations, errors = read([row, chat(MESSAGES, trace="t9")])
    assert [said(conversation) for conversation in conversations] == [[ASKED, ANSWERED]]
    assert [where for where, _ in errors] == ["0.jsonl:1"]
    assert errors[0][1].startswith(problem)


LATE = {
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Rye?",
    "gen_ai.completion.0.content": "Yes.",
}


@pytest.mark.parametrize(
    "row",
    [
        chat(LATE, dropped_attributes_count=2),
        chat({**LATE, **{f"x{number}": 1 for number in range(125)}}),
        {**IDS, "attributes": keys(LATE), "droppedAttributesCount": 2},
    ],
)
def test_a_call_whose_first_messages_the_sdk_dropped_is_an_error(read, row):
    conversations, errors = read([row])
    assert conversations == []
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in errors[0][1]


def test_tools_that_are_cut_off_cost_themselves(read):
    notes = Counter()
    [conversation], errors = read([chat({**MESSAGES, "llm.tools.0.tool.json_schema": '{"name": "fi'})], notes=notes)
    assert (said(conversation), conversation.tools, errors) == ([ASKED, ANSWERED], (), [])
    assert notes == {"tools or settings of a call that are cut off, left out": 1}


def test_a_call_of_whose_events_the_sdk_dropped_some_is_an_error(read):
    events = [("gen_ai.user.message", {"content": "Rye?"}), ("gen_ai.choice", {"message": '{"content": "Yes."}'})]
    conversations, errors = read([chat(OPERATION, events=events, dropped_events_count=1)])
    assert conversations == []
    assert "OTEL_SPAN_EVENT_COUNT_LIMIT" in errors[0][1]


def test_a_reply_that_is_none_of_the_assistants_is_no_reply(read):
    notes = Counter()
    attributes = {"gen_ai.input.messages": [HI], "gen_ai.output.messages": [{"role": "tool", "content": "4"}]}
    assert read([chat({**OPERATION, **attributes})], notes=notes) == ([], [])
    assert notes == {"calls without a reply, left out": 1}


def test_spans_of_other_things_are_counted(read):
    rows = [chat({"http.method": "GET"}), chat({"gen_ai.operation.name": "embeddings"}, number="s2")]
    notes = Counter()
    assert read([*rows, {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}], notes=notes) == ([], [])
    assert notes == {NO_CALL: 3}


def test_ids_in_base64_and_times_of_any_unit_are_read(read):
    ids = {
        "trace_id": base64.b64encode(bytes(range(16))).decode(),
        "span_id": base64.b64encode(bytes(range(8))).decode(),
    }
    times = [1767225600, 1767225600000, 1767225600000000, 1767225600000000000, "1767225600000000000", [1767225600, 5]]
    rows = [
        {**ids, "span_id": f"{number}", "start_time": time, "attributes": MESSAGES} for number, time in enumerate(times)
    ]
    conversations, errors = read(rows)
    assert (len(conversations), errors) == (len(times), [])


# Anything


NAMES = st.sampled_from([
    *(f"gen_ai.{name}" for name in (
        "input.messages", "output.messages", "system_instructions", "tool.definitions", "prompt", "completion",
        "prompt.0.role", "prompt.0.content", "prompt.9.tool_calls.3.name", "completion.0.content", "operation.name",
        "completion.7", "prompt.x", "prompt.0", "conversation.id", "request.temperature", "event.content")),
    *(f"llm.input_messages.{name}" for name in (
        "0.message.role", "0.message.content", "2.message.contents.1.message_content.type", "2.message", "x", "00",
        "2.message.contents.1.message_content.text", "2.message.tool_calls.0.tool_call.function.name")),
    "llm.output_messages.0.message.content", "llm.output_messages.5.message.tool_calls.2",
    "llm.tools.0.tool.json_schema",
    "llm", "llm.invocation_parameters", "openinference.span.kind", "input.value", "output.value", "session.id",
    "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType", "mlflow.chat.tools", "mlflow.chat.messages",
    "ai.prompt.messages", "ai.prompt", "ai.response.text", "ai.response.toolCalls", "ai.prompt.tools",
    "pydantic_ai.all_messages", "all_messages_events", "events", "content", "message", "role", "id", "tool_calls",
])  # fmt: skip
WORDS = st.sampled_from(["user", "assistant", "tool", "LLM", "AGENT", "chat", "invoke_agent", '"CHAT_MODEL"', "text"])
FIELDS = st.sampled_from(
    ["role", "type", "content", "parts", "tool_calls", "id", "message", "messages", "generations", "choices", "text",
     "name", "arguments", "function", "output", "input", "candidates", "message.role", "tool_call", "event.name"]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=8,
)
VALUES = ANYTHING | ANYTHING.map(json.dumps) | ANYTHING.map(lambda value: json.dumps(value)[:-1])
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=6)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["gen_ai.user.message", "gen_ai.tool.message", "gen_ai.choice", "gen_ai.content.prompt",
                         "gen_ai.assistant.message", "gen_ai.client.inference.operation.details"]),
        ATTRIBUTES,
    ),
    max_size=3,
)  # fmt: skip


@settings(max_examples=60)  # each makes a store
@given(attributes=ATTRIBUTES, events=EVENTS, body=VALUES)
def test_wild_spans_raise_nothing_but_input_errors_and_say_nothing_that_is_not_in_them(
    tmp_path_factory, attributes, events, body
):
    rows = [
        chat(attributes, events=events),
        chat(nested(OPENINFERENCE) | attributes, trace="t2"),
        *(record(name, body, attributes=attributes, trace_id="t3") for name, _ in events),
        {"resourceSpans": [{"scopeSpans": [{"spans": [{**IDS, "attributes": keys({}), "events": body}]}]}]},
        {"resourceSpans": body},
        {"info": body, "data": {"spans": [chat({"mlflow.x": 1, **attributes}, trace="t4")]}},
        {"traceID": "t5", "spanID": body, "tags": body},
        {"trace_id": "t6", "span_id": "s", "attributes": body, "events": body, "start_time": body},
    ]
    path = tmp_path_factory.mktemp("wild") / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    errors: list[InputError] = []
    known = json.dumps(rows, ensure_ascii=False) + json.dumps(json.dumps(rows, ensure_ascii=False), ensure_ascii=False)
    for conversation in read_conversations([path], on_error=errors.append):
        for message in conversation.messages:
            for word in message.content.split():
                assert word.startswith("[") or word[:1] in '{["' or word in known or not word.isalpha()


@given(st.permutations(sorted(OPENINFERENCE.items())), st.integers(0, 10**9))
@settings(max_examples=20)
def test_neither_the_order_of_attributes_nor_the_numbers_matter(tmp_path_factory, items, first):
    attributes = {key.replace("messages.0", f"messages.{first}"): value for key, value in items}
    path = tmp_path_factory.mktemp("order") / "log.jsonl"
    path.write_text(json.dumps(chat(attributes)))
    [conversation] = read_conversations([path])
    assert said(conversation) == [ASKED, ANSWERED]
