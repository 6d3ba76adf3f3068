"""Rows that are calls of a model, with the reply beside the messages: of proxies, of providers' logs, and home-made.

The shapes are those of LiteLLM 1.110.2 (`LiteLLM_SpendLogs` in `proxy/schema.prisma`, `SpendLogsPayload`,
`StandardLoggingPayload`), Helicone (`HeliconeRequest` and `examples/export/typescript/index.ts` at 05a819c), Amazon
Bedrock's `ModelInvocationLog` 1.0, Vertex AI's batches of Gemini, and openai-python 3.57.0 and anthropic 2.14.0 (types
of responses, stored completions and message batches).
"""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.call_logs import HELLO, HI, anthropic, read_logs, response, run, said
from support.fakes import other_texts

from collab_sdk import read_conversations

SYSTEM = {"role": "system", "content": "Be brief."}
BYE, CIAO = {"role": "user", "content": "bye"}, {"role": "assistant", "content": "ciao"}
FIRST, SECOND = [SYSTEM, HI], [SYSTEM, HI, HELLO, BYE]
WHOLE = [("system", "Be brief."), ("user", "hi"), ("assistant", "hello"), ("user", "bye"), ("assistant", "ciao")]
UNANSWERED = "calls without a reply, left out"
NO_CALL = "entries that log no call of a chat model, left out"


@pytest.fixture
def read(tmp_path):
    return partial(read_logs, tmp_path)


def choices(*messages):
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"index": 0, "message": m} for m in messages]}


def spend(name, history, reply, session="s-1", at=0, **fields):
    """A row of LiteLLM's spend logs where the proxy stores prompts: the request is in `proxy_server_request`."""
    return {
        "request_id": name,
        "call_type": "acompletion",
        "api_key": "hashed",
        "spend": 0.1,
        "startTime": f"2026-01-01T00:00:{at:02}Z",
        "endTime": f"2026-01-01T00:00:{at:02}.5Z",
        "model": "gpt-4o",
        "session_id": session,
        "status": "success",
        "metadata": {"user_api_key": "secret"},
        "messages": {},
        "response": choices(reply) if reply else {},
        "proxy_server_request": {"model": "gpt-4o", "messages": history},
        **fields,
    }


# LiteLLM


@pytest.mark.parametrize(
    "stored",
    [
        lambda row: row,
        lambda row: {**row, "messages": row["proxy_server_request"]["messages"], "proxy_server_request": {}},
        lambda row: {**row, "proxy_server_request": {"url": "/chat/completions", "body": row["proxy_server_request"]}},
        lambda row: {key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()},
        lambda row: {key: value if isinstance(value, str) else str(value) for key, value in row.items()},
    ],
    ids=["request", "messages", "body", "csv", "pandas"],
)
def test_spend_logs_are_calls_with_their_reply_wherever_the_prompt_is_stored(read, stored):
    rows = [stored(spend("r2", SECOND, CIAO, at=2)), stored(spend("r1", FIRST, HELLO, at=1))]
    [conversation], errors = read(rows)
    assert errors == []
    assert said(conversation) == WHOLE
    assert conversation.id == "s-1"
    assert conversation.metadata == {"model": "gpt-4o"}
    assert conversation.ended == 1767225602.5


def test_records_of_litellms_callbacks_are_read(read):
    row = {
        "id": "chatcmpl-1",
        "trace_id": "t-1",
        "call_type": "acompletion",
        "response_cost": 0.1,
        "status": "success",
        "startTime": 1767225600.0,
        "endTime": 1767225601.0,
        "model": "gpt-4o",
        "messages": FIRST,
        "response": choices(HELLO),
        "model_parameters": {"temperature": 0.5, "api_key": "secret"},
        "hidden_params": {},
        "metadata": {},
    }
    [conversation], errors = read([row])
    assert (errors, said(conversation), conversation.id) == ([], WHOLE[:3], "t-1")


def test_a_session_that_litellm_made_for_each_call_does_not_part_a_chat(read):
    """Without a session of the app's, each call has a `trace_id` of its own there."""
    rows = [spend("r1", FIRST, HELLO, session="u1", at=1), spend("r2", SECOND, CIAO, session="u2", at=2)]
    for order in (rows, rows[::-1]):
        [conversation], _ = read(order)
        assert said(conversation) == WHOLE
        assert conversation.id == "u1"


def test_a_session_of_which_one_call_was_logged_keeps_its_id(read):
    conversations, _ = read([spend("r1", FIRST, HELLO, session="a"), spend("r2", [SYSTEM, BYE], CIAO, session="b")])
    assert [conversation.id for conversation in conversations] == ["a", "b"]
    [conversation], _ = read([spend("r2", SECOND, CIAO, session="b")])
    assert conversation.id == "b"


@pytest.mark.parametrize(
    "fields",
    [
        {"proxy_server_request": {}},
        {"response": {}},
        {"proxy_server_request": "{}", "response": "{}"},
    ],
)
def test_calls_whose_prompt_or_reply_litellm_did_not_store_are_counted(read, fields):
    notes = Counter()
    assert read([spend("r", FIRST, HELLO, **fields)], notes=notes)[0] == []
    stored = "calls of which LiteLLM stored no prompt or no reply (store_prompts_in_spend_logs), left out"
    assert notes == {stored: 1, NO_CALL: 1}


@pytest.mark.parametrize(
    "text",
    [
        "a story... (litellm_truncated skipped 1234 chars. Truncation is a DB storage safeguard.) ...and its end",
        "a story... (litellm_truncated 1234 chars)",
        "a story... (truncated 1234 chars)",
        "redacted-by-litellm",
    ],
)
def test_texts_that_litellm_cut_or_redacted_are_not_taken_for_what_was_said(read, text):
    notes = Counter()
    rows = [
        spend("r1", FIRST, HELLO, at=1),
        spend("r2", [*FIRST, HELLO, {"role": "user", "content": text}], CIAO, at=2),
        spend("r3", FIRST, {"role": "assistant", "content": text}, session="other"),
    ]
    [conversation], _ = read(rows, notes=notes)
    assert said(conversation) == WHOLE[:3]
    assert notes["calls with texts that LiteLLM cut or redacted before it stored them, left out"] == 2


def test_failed_calls_and_those_of_other_models_are_counted(read):
    notes = Counter()
    rows = [
        spend("r1", FIRST, None, status="failure", metadata={"error_information": {"error_message": "slow down"}}),
        spend("r2", FIRST, None, call_type="aembedding"),
        spend("r3", FIRST, None, call_type="aimage_generation"),
        spend("r4", FIRST, HELLO),
    ]
    [conversation], errors = read(rows, notes=notes)
    assert (said(conversation), errors) == (WHOLE[:3], [])
    assert notes == {UNANSWERED: 1, NO_CALL: 2}


def test_a_call_that_is_logged_twice_is_one(read):
    row = spend("r1", FIRST, HELLO)
    [conversation], errors = read([row, row])
    assert (said(conversation), conversation.alternatives, errors) == (WHOLE[:3], {}, [])


def test_spend_logs_of_the_responses_and_messages_apis_are_read(read):
    call = {"type": "function_call", "name": "stock", "arguments": "{}", "call_id": "c1"}
    spoken = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]}
    rows = [
        spend(
            "r1",
            [],
            None,
            session="a",
            call_type="aresponses",
            proxy_server_request={"input": "Rye?", "instructions": "Be brief."},
            response={"object": "response", "output": [{"type": "reasoning", "summary": []}, spoken, call]},
        ),
        spend(
            "r2",
            [],
            None,
            session="b",
            call_type="anthropic_messages",
            proxy_server_request={"system": [{"type": "text", "text": "Be brief."}], "messages": [HI]},
            response=anthropic("hello"),
        ),
    ]
    [one, other], errors = read(rows)
    assert errors == []
    assert said(one) == [("system", "Be brief."), ("user", "Rye?"), ("assistant", "Let me see.")]
    assert one.messages[-1].tool_calls[0]["function"] == {"name": "stock", "arguments": "{}"}
    assert said(other) == WHOLE[:3]


# Helicone and Bedrock


def helicone(name, history, reply, session="s", **fields):
    return {
        "request_id": name,
        "request_created_at": "2026-01-01T00:00:00Z",
        "response_created_at": "2026-01-01T00:00:01Z",
        "response_status": 200,
        "request_path": "https://api.openai.com/v1/chat/completions",
        "request_body": {"model": "gpt-4o", "messages": history},
        "response_body": choices(reply),
        "request_properties": {"Helicone-Session-Id": session, "Helicone-Session-Path": "/chat"},
        "request_user_id": "ann",
        "feedback_rating": None,
        **fields,
    }


def test_requests_of_helicones_api_are_joined_by_their_session_and_keep_the_rating(read):
    rows = [helicone("r2", SECOND, CIAO, feedback_rating=True), helicone("r1", FIRST, HELLO)]
    [conversation], errors = read([{"data": rows, "error": None}])
    assert errors == []
    assert (said(conversation), conversation.id) == (WHOLE, "s")
    assert conversation.metadata == {"model": "gpt-4o", "rating": True}
    assert "ann" not in str(conversation)


@pytest.mark.parametrize(
    ("status", "partial_turns"), [(200, None), ("200", None), (500, [0]), ("500", [0]), ("", None)]
)
def test_replies_of_requests_that_failed_are_partial_also_in_a_table(read, status, partial_turns):
    [conversation], _ = read([helicone("r1", FIRST, HELLO, response_status=status)])
    assert said(conversation) == WHOLE[:3]
    assert conversation.metadata.get("partial_turns") == partial_turns


def test_requests_of_helicone_without_bodies_and_of_other_models_are_counted(read):
    notes = Counter()
    rows = [
        helicone("r1", FIRST, HELLO, request_body=None, response_body=None),
        helicone("r2", FIRST, HELLO, request_body={"tooLarge": True, "heliconeMessage": "Body too large"}),
        helicone("r3", FIRST, HELLO, request_path="https://api.openai.com/v1/embeddings"),
        helicone("r4", FIRST, HELLO, response_status=429, response_body={"error": {"message": "slow down"}}),
    ]
    assert read(rows, notes=notes) == ([], [])
    bodies = "requests of Helicone without their bodies (export them with --include-body), left out"
    assert notes == {bodies: 2, NO_CALL: 3, UNANSWERED: 1}


def invocation(sent, came, **fields):
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": "2026-01-01T00:00:00Z",
        "requestId": "r",
        "operation": "Converse",
        "modelId": "anthropic.claude-3-haiku-20240307-v1:0",
        "input": {"inputContentType": "application/json", "inputBodyJson": sent, "inputTokenCount": 35},
        "output": {"outputContentType": "application/json", "outputBodyJson": came, "outputTokenCount": 4},
        "requestMetadata": {"session_id": "s"},
        **fields,
    }


EVENTS = [
    {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "message_stop"},
]


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        (
            {"system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": [{"text": "hi"}]}]},
            {"output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}}, "stopReason": "end_turn"},
        ),
        ({"anthropic_version": "bedrock-2023-05-31", "system": "Be brief.", "messages": [HI]}, anthropic("hello")),
        ({"system": "Be brief.", "messages": [HI]}, EVENTS),
        ({"system": "Be brief.", "prompt": "hi"}, {"generation": "hello", "stop_reason": "stop"}),
        ({"system": "Be brief.", "inputText": "hi"}, {"results": [{"outputText": "hello"}]}),
    ],
    ids=["converse", "invoke", "stream", "llama", "titan"],
)
def test_invocation_logs_of_bedrock_are_read_whatever_the_operation(read, sent, came):
    [conversation], errors = read([invocation(sent, came)])
    assert errors == []
    assert (said(conversation), conversation.id) == (WHOLE[:3], "s")


CHUNKS = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]} for text in ("hel", "lo")]
ENDED = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
DELTAS = [{"type": "response.output_text.delta", "delta": text} for text in ("hel", "lo")]


@pytest.mark.parametrize(
    ("events", "partial"),
    [
        (EVENTS, False),
        (EVENTS[:-1], True),
        ([*CHUNKS, ENDED], False),
        (CHUNKS, True),
        ([*DELTAS, {"type": "response.completed", "response": response("hello")}], False),
        ([{"type": "response.created", "response": {"status": "in_progress", "output": []}}, *DELTAS], True),
    ],
)
def test_events_of_a_stream_make_a_reply_that_is_partial_where_it_broke_off(read, events, partial):
    [conversation], errors = read([{"messages": FIRST, "response": events}])
    assert (errors, said(conversation)) == ([], WHOLE[:3])
    assert conversation.partial_turns == (frozenset({0}) if partial else frozenset())


def test_calls_in_a_stream_are_put_together(read):
    parts = [
        {"index": 0, "id": "c1", "function": {"name": "stock", "arguments": '{"what"'}},
        {"index": 0, "function": {"arguments": ': "rye"}'}},
    ]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]} for part in parts]
    started = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "c1", "name": "stock", "input": {}},
    }
    deltas = [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": part["function"]["arguments"]},
        }
        for part in parts
    ]
    for events in ([*chunks, ENDED], [started, *deltas, {"type": "message_stop"}]):
        [conversation], _ = read([{"messages": FIRST, "response": events}])
        [call] = conversation.messages[-1].calls
        assert (call.id, call.name, call.parsed) == ("c1", "stock", {"what": "rye"})


# Home-made, and bodies as providers have them


CHUNKS = (
    {"choices": [{"index": 0, "delta": {"content": "hel"}}]},
    {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"total_tokens": 2}},
)
EVENTS = (
    {"type": "message_start", "message": {"role": "assistant", "content": []}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
    {"type": "message_stop"},
)


def server_sent(*events):
    """Events of a stream as they come."""
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return "".join(f"event: message\r\ndata: {text}\r\n\r\n" for text in texts)


@pytest.mark.parametrize(
    "beside",
    [
        {"output": "hello"},
        {"response": "hello"},
        {"completion": "hello"},
        {"answer": "hello"},
        {"generation": HELLO},
        {"output": [HELLO]},
        {"response": {"role": "assistant", "content": "hello"}},
        {"choices": [{"message": HELLO}]},
        {"choices": [{"text": "hello"}]},
        {"response": choices(HELLO)},
        {"response": json.dumps(choices(HELLO))},
        {"response": {"content": [{"type": "text", "text": "hello"}], "role": "assistant", "type": "message"}},
        {"response": {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}}]}},
        {"output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}}},
        {"output": {"text": "hello", "toolCalls": []}},
        {"message": HELLO, "done": True},
        {"messageCompletion": HELLO},
        {"modelOutput": "hello"},
        {"output": [{"type": "text", "text": "hello"}]},
        {"response": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "hello"}]},
        {"response": server_sent(*CHUNKS, "[DONE]")},
        {"response": {"status": 200, "body": server_sent(*CHUNKS)}},
        {"response": server_sent(*EVENTS)},
        {"output_messages": [HELLO]},
        {"response": [{"choices": [{"delta": {"content": "hel"}}]}, {"choices": [{"delta": {"content": "lo"}}]}]},
    ],
    ids=str,
)
def test_what_stands_beside_the_messages_is_their_reply(read, beside):
    for messages in (FIRST, json.dumps(FIRST)):
        [conversation], errors = read([{"messages": messages, "model": "x", **beside}])
        assert errors == []
        assert said(conversation) == WHOLE[:3]
        assert conversation.metadata["model"] == "x"


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        ({"messages": FIRST}, choices(HELLO)),
        ({"input": "hi", "instructions": "Be brief."}, response("hello")),
        (
            {
                "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
            },
            {
                "candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}}],
                "modelVersion": "gemini-2.5-flash",
            },
        ),
        ({"system": "Be brief.", "messages": [HI]}, anthropic("hello")),
        ({"prompt": "hi", "system_prompt": "Be brief."}, {"choices": [{"text": "hello"}]}),
        ({"input": "hi", "instructions": "Be brief."}, "hello"),
    ],
    ids=["chat", "responses", "gemini", "anthropic", "completions", "text"],
)
@pytest.mark.parametrize(
    "names",
    [
        ("request", "response"),
        ("body", "response"),
        ("inputs", "outputs"),
        ("inputs", "output"),
        ("modelInput", "modelOutput"),
    ],
)
def test_bodies_of_requests_and_responses_in_pairs_are_read(read, names, sent, came):
    [conversation], errors = read([{names[0]: sent, names[1]: came, "status": "", "session_id": "s"}])
    assert errors == []
    assert (said(conversation), conversation.id) == (WHOLE[:3], "s")


def test_bodies_may_stand_in_logged_http_messages(read):
    request = {"url": "https://api.openai.com/v1/chat/completions", "method": "POST", "body": {"messages": FIRST}}
    [conversation], errors = read([{"request": request, "response": {"status": 200, "body": choices(HELLO)}}])
    assert (errors, said(conversation)) == ([], WHOLE[:3])


def test_a_prompt_that_is_text_goes_on_from_the_response_that_it_names(read):
    first = {"request": {"model": "gpt-5", "input": "hi"}, "response": {**response("hello"), "id": "r1"}}
    second = {"request": {"input": "bye", "previous_response_id": "r1"}, "response": {**response("ciao"), "id": "r2"}}
    [conversation], errors = read([first, second])
    assert (errors, said(conversation)) == ([], WHOLE[1:])
    http = {"request": {"body": first["request"]}, "response": {"status": 200, "body": first["response"]}}
    [conversation], errors = read([http])
    assert (errors, said(conversation)) == ([], WHOLE[1:3])


def test_texts_that_are_embedded_or_moderated_are_no_prompts(read):
    notes = Counter()
    embedding = {
        "request": {"model": "text-embedding-3-small", "input": "hi"},
        "response": {"data": [{"embedding": [1]}]},
    }
    moderation = {"request": {"model": "omni-moderation-latest", "input": "hi"}, "response": {"results": []}}
    assert read([embedding, moderation], notes=notes) == ([], [])
    assert notes == {NO_CALL: 2}


@pytest.mark.parametrize("model", ["gpt-4o-audio-preview", "gpt-4o-search-preview", "gemini-2.5-flash-image"])
def test_models_that_also_see_hear_or_search_are_chat_models(read, model):
    [conversation], _ = read([{"messages": FIRST, "output": "hello", "model": model}])
    assert said(conversation) == WHOLE[:3]


def test_logged_responses_go_on_from_the_one_that_they_name(read):
    def logged(name, text, said, previous=None):
        output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}]}]
        return {
            "id": name,
            "object": "response",
            "created_at": 1767225600,
            "model": "gpt-5",
            "instructions": "Be brief.",
            "previous_response_id": previous,
            "input": text,
            "output": output,
            "status": "completed",
        }

    rows = [logged("resp_2", [BYE], "ciao", "resp_1"), logged("resp_1", "hi", "hello")]
    [conversation], errors = read(rows)
    assert errors == []
    assert said(conversation) == WHOLE


def test_responses_of_a_conversation_that_the_server_holds_are_its_turns(read):
    rows = [
        {
            "object": "response",
            "id": f"resp_{n}",
            "created_at": 1767225600 + n,
            "conversation": {"id": "conv_1"},
            "input": [asked],
            "output": [{"type": "message", **reply}],
        }
        for n, (asked, reply) in enumerate([(HI, HELLO), (BYE, CIAO)])
    ]
    [conversation], errors = read(rows)
    assert (errors, conversation.id, said(conversation)) == ([], "conv_1", WHOLE[1:])


def test_stored_completions_are_read_with_their_messages_and_named_without(read):
    whole = {**choices(HELLO), "created": 1767225600, "model": "gpt-4o", "metadata": {}, "messages": FIRST}
    paged = {**whole, "messages": {"object": "list", "data": [{"id": f"m{n}", **m} for n, m in enumerate(FIRST)]}}
    for row in (whole, paged):
        [conversation], errors = read([{"object": "list", "data": [row]}])
        assert (errors, said(conversation)) == ([], WHOLE[:3])
    conversations, [(_, problem)] = read([choices(HELLO)])
    assert conversations == []
    assert problem == "a reply to 'chatcmpl-1', whose request is in none of the files"


def test_several_choices_are_alternatives(read):
    [conversation], _ = read([{"messages": [HI], **choices(HELLO, CIAO)}])
    assert said(conversation) == WHOLE[1:3]
    assert other_texts(conversation) == {0: ("ciao",)}


def test_what_the_assistant_did_before_its_last_message_is_part_of_the_turn(read):
    steps = [
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "rye"}},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
    ]
    [conversation], errors = read([{"messages": [HI], "response": {"object": "response", "output": steps}}])
    assert errors == []
    [turn] = conversation.turns()
    assert turn.text == "hello"
    assert [call["function"]["name"] for message in turn.response for call in message.tool_calls] == ["web_search"]


def test_rows_without_an_id_are_joined_by_their_history_and_those_with_one_by_it(read):
    rows = [{"messages": FIRST, "output": "hello"}, {"messages": SECOND, "output": "ciao"}]
    [conversation], _ = read(rows)
    assert said(conversation) == WHOLE
    for name in ("conversation_id", "sessionId", "thread_id", "chatId"):
        named = [
            {"messages": [asked], "output": reply["content"], name: "c-7", "timestamp": at}
            for at, (asked, reply) in enumerate([(HI, HELLO), (BYE, CIAO)], start=1767225600)
        ]
        [conversation], _ = read(named)
        assert (conversation.id, said(conversation)) == ("c-7", WHOLE[1:])


def test_ids_titles_ratings_and_times_of_a_row_are_kept(read):
    row = {"id": "x1", "messages": [HI], "output": "hello", "rating": 5, "title": "T", "createdAt": 1767225600000}
    [conversation], _ = read([row])
    assert conversation.metadata == {"call_id": "x1", "title": "T", "rating": 5}
    assert conversation.ended == 1767225600


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "hi", "choices": [{"text": "hello"}]},
        {"prompt_messages": [HI], "completion": "hello"},
        {"requestBody": {"messages": [HI]}, "responseBody": choices(HELLO)},
        {"input": "hi", "output": response("hello")["output"]},
        {"input": {"messages": [HI]}, "output": choices(HELLO), "expected": None},
    ],
    ids=str,
)
def test_other_names_of_what_was_sent_are_known(read, row):
    [conversation], errors = read([row])
    assert (errors, said(conversation)) == ([], WHOLE[1:3])


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [HI], "response": None},
        {"messages": [HI], "response": {"error": {"message": "slow down"}}},
        {"messages": [HI], "output": "", "error": "slow down"},
        {"request": {"messages": [HI]}, "response": {"message": "Too many requests", "code": 429}},
        {"request": {"messages": [HI]}, "response": None},
    ],
    ids=str,
)
def test_calls_without_a_reply_are_counted_and_errors_are_no_replies(read, row):
    notes = Counter()
    assert read([row], notes=notes) == ([], [])
    assert notes == {UNANSWERED: 1}


def test_messages_that_end_with_the_reply_already_are_a_chat_and_have_it_once(read):
    texts = [{"output": "hello"}, {"completion": ["hello "]}, {"answer": "hello"}]
    for beside in (*texts, {"response": choices(HELLO)}):
        notes = Counter()
        [conversation], errors = read([{"messages": [HI, HELLO], **beside}], notes=notes)
        assert (errors, said(conversation), notes) == ([], WHOLE[1:3], {})
    thought = {**HELLO, "content": "<think>hm</think>\nhello"}
    for beside in texts:
        [conversation], _ = read([{"messages": [HI, thought], **beside}])
        assert len(conversation.messages) == 2


def test_a_stream_in_text_that_was_cut_is_partial_and_what_is_no_stream_is_words(read):
    text = server_sent(*CHUNKS)
    [conversation], errors = read([{"messages": [HI], "response": text[: text.index("lo")]}])
    assert (errors, said(conversation)) == ([], [("user", "hi"), ("assistant", "hel")])
    assert conversation.metadata["partial_turns"] == [0]
    for odd in (server_sent({"kind": "x"}, *CHUNKS), server_sent("{", *CHUNKS)):
        conversations, [(_, problem)] = read([{"messages": [HI], "response": odd}])
        assert (conversations, problem.startswith("a streamed reply with ")) == ([], True)
    words = "data: [1]\nis how an event begins"
    [conversation], _ = read([{"messages": [HI], "response": words}])
    assert said(conversation)[-1] == ("assistant", words)


def test_chunks_of_gemini_are_one_reply(read):
    def chunk(text, **more):
        return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, **more}]}

    chunks = [chunk("hel"), chunk("lo", finishReason="STOP")]
    for came in (chunks, server_sent(*chunks)):
        row = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "response": came}
        [conversation], errors = read([row])
        assert (errors, said(conversation)) == ([], [("user", "hi"), ("assistant", "hello")])


def test_a_conversation_that_is_an_object_names_the_session(read):
    for sent in ("hi", [HI]):
        row = {"input": sent, **response("hello"), "conversation": {"id": "conv_1"}}
        for shown in (row, {key: row[key] for key in ("input", "output", "conversation")}):
            [conversation], errors = read([shown])
            assert (errors, conversation.id, said(conversation)) == ([], "conv_1", WHOLE[1:3])


@pytest.mark.parametrize("key", ["output", "response", "completion"])
@pytest.mark.parametrize("history", ["messages", "input"])
@pytest.mark.parametrize("content", ["hello", [{"type": "text", "text": "hello"}]])
def test_a_reply_beside_messages_that_end_with_another_is_kept(read, history, key, content):
    [conversation], errors = read([{history: [HI, {"role": "assistant", "content": content}], key: "ciao"}])
    assert (errors, said(conversation)) == ([], [*WHOLE[1:3], ("assistant", "ciao")])


def test_an_answer_beside_messages_that_end_with_another_is_counted(read):
    notes = Counter()
    [conversation], errors = read([{"messages": [HI, HELLO], "answer": "42"}], notes=notes)
    assert (errors, said(conversation)) == ([], WHOLE[1:3])
    assert notes == {"texts beside messages that are not the reply that these end with, left out": 1}


def test_rows_of_chats_tasks_and_pairs_are_no_calls(read):
    rows = [
        {"messages": [HI, HELLO], "model": "x"},
        {"prompt": [HI], "completion": [HELLO], "label": True},
        {"messages": [HI], "chosen": HELLO, "rejected": CIAO},
    ]
    conversations, errors = read(rows)
    assert errors == []
    assert [said(conversation) for conversation in conversations] == [WHOLE[1:3]] * 3
    assert read([{"prompt": [HI], "answer": "42"}])[0] == []


@pytest.mark.parametrize("outputs", [{"answer": "hello"}, {"output": "hello"}, {"messages": [HI, HELLO]}, HELLO])
def test_examples_of_a_data_set_are_chats(read, outputs):
    """`Example` of langsmith 0.15.1, as an export of a data set has them."""
    inputs = {"messages": [HI]} if "messages" in outputs else {"question": "hi"}
    [conversation], errors = read([{"id": "e1", "inputs": inputs, "outputs": outputs, "metadata": {"split": "base"}}])
    assert (errors, said(conversation)) == ([], WHOLE[1:3])


# Batches


def test_message_batches_of_anthropic_are_joined(read):
    params = {"model": "claude", "system": "Be brief.", "max_tokens": 9, "messages": [HI]}
    message = anthropic("hello")
    rows = [
        {"custom_id": "a", "result": {"type": "succeeded", "message": message}},
        {"custom_id": "a", "params": params},
        {"custom_id": "b", "params": params},
        {"custom_id": "b", "result": {"type": "errored", "error": {"type": "error", "error": {"message": "no"}}}},
    ]
    notes = Counter()
    [conversation], errors = read(rows, notes=notes)
    assert (errors, said(conversation)) == ([], WHOLE[:3])
    assert conversation.metadata["model"] == "claude"
    assert notes[UNANSWERED] == 1


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"input": "hi", "instructions": "Be brief."}, response("hello")),
        ({"prompt": "hi"}, {"object": "text_completion", "choices": [{"text": "hello"}]}),
        ({"messages": [HI]}, choices(HELLO)),
    ],
    ids=["responses", "completions", "chat"],
)
def test_batches_of_every_endpoint_are_joined_and_errors_are_counted(read, body, answer):
    requests = [{"custom_id": name, "method": "POST", "url": "/v1/x", "body": body} for name in "ab"]
    answers = [
        {"id": "b1", "custom_id": "a", "response": {"status_code": 200, "body": answer}, "error": None},
        {"id": "b2", "custom_id": "b", "response": None, "error": {"code": "batch_expired", "message": "late"}},
    ]
    notes = Counter()
    [conversation], errors = read(answers, requests, notes=notes)
    assert errors == []
    assert said(conversation)[-2:] == WHOLE[1:3]
    assert notes[UNANSWERED] == 1


def test_batches_of_gemini_are_joined_on_their_key_and_read_whole(read):
    """Vertex AI writes the request beside the response, with null for the kinds of a part that it is not."""
    asked = {"contents": [{"role": "user", "parts": [{"fileData": None, "inlineData": None, "text": "hi"}]}]}
    said_back = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}]}
    halves = [{"key": "k", "response": said_back}, {"key": "k", "request": asked}]
    whole = [{"status": "", "processed_time": "2026-01-01T00:00:00Z", "request": asked, "response": said_back}]
    for rows in (halves, whole):
        [conversation], errors = read(rows)
        assert (errors, said(conversation)) == ([], WHOLE[1:3])


def test_batches_of_embeddings_are_counted(read):
    rows = [
        {"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-small", "input": "hi"}},
        {"custom_id": "a", "response": {"status_code": 200, "body": {"data": [{"embedding": [0.1]}]}}},
    ]
    notes = Counter()
    assert read(rows, notes=notes) == ([], [])
    assert notes == {NO_CALL: 2}


# All


ROW_OF = {
    "litellm": lambda thread, name, history, reply, at: spend(name, history, reply, session=thread, at=at),
    "litellm-made": lambda thread, name, history, reply, at: spend(name, history, reply, session=f"of {name}", at=at),
    "helicone": lambda thread, name, history, reply, at: helicone(name, history, reply, session=thread),
    "langsmith": lambda thread, name, history, reply, at: run(name, history, reply, thread=thread, at=at),
    "plain": lambda thread, name, history, reply, at: {"messages": history, "output": reply["content"], "ts": at + 2e9},
}


def rows_of(kind, threads):
    for thread in range(threads):
        history = [{"role": "user", "content": f"hi {thread}"}]
        for turn in range(2):
            reply = {"role": "assistant", "content": f"hello {thread}.{turn}"}
            yield ROW_OF[kind](f"{thread}", f"{thread}.{turn}", history, reply, thread * 2 + turn)
            history = [*history, reply, {"role": "user", "content": f"and {thread}.{turn}?"}]


@pytest.mark.parametrize("kind", ROW_OF)
def test_a_log_of_calls_may_be_read_by_several_threads_in_turn(tmp_path, kind):
    path = tmp_path / "calls.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(kind, 3)))
    conversations = iter(read_conversations([path]))
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        found = [pool.submit(next, conversations).result() for pool in (one, other, one)]
    assert next(conversations, None) is None
    assert [len(conversation.messages) for conversation in found] == [4, 4, 4]


@settings(max_examples=40)  # each makes a store
@given(kind=st.sampled_from(sorted(ROW_OF)), seed=st.integers(0, 2**32), repeated=st.booleans())
def test_calls_make_the_same_chats_in_whatever_order_they_come(tmp_path_factory, kind, seed, repeated):
    rows = list(rows_of(kind, 3))
    expected, _ = read_logs(tmp_path_factory.mktemp("in"), rows)
    random.Random(seed).shuffle(rows)
    rows += rows[:2] if repeated else []
    found, errors = read_logs(tmp_path_factory.mktemp("out"), rows)
    assert errors == []
    assert sorted(map(said, found)) == sorted(map(said, expected))
    assert len(found) == 3


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "hi", "assistant", "user", "{}", "[1]", '{"a": 1}']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "type", "content", "text", "messages", "choices", "message", "output", "input", "id"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=80)
@given(data=st.data())
def test_rows_with_keys_missing_or_strange_give_chats_or_errors_and_nothing_else(tmp_path_factory, data):
    row = data.draw(
        st.sampled_from(
            [
                spend("r", FIRST, HELLO),
                helicone("r", FIRST, HELLO),
                invocation({"messages": FIRST}, choices(HELLO)),
                {"messages": FIRST, "output": "hello", "id": "x", "metadata": {}},
                {"request": {"messages": FIRST}, "response": choices(HELLO)},
                {"inputs": {"question": "hi"}, "outputs": {"answer": "hello"}},
                {"custom_id": "a", "params": {"messages": FIRST}},
            ]
        )
    )
    for key in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
        row = (
            {**row, key: data.draw(values)} if data.draw(st.booleans()) else {k: v for k, v in row.items() if k != key}
        )
    notes = Counter()
    found, errors = read_logs(tmp_path_factory.mktemp("wild"), [row], notes=notes)
    assert not [problem for _, problem in errors if "cannot read it" in problem]
    assert found or errors or notes
