"""What is read, written and read again is the same, but for what docs/formats.md lists."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import says
from support.wild_pairs import wild_pairs

from collab_sdk.errors import InputError, UnknownNameError
from collab_sdk.files import JsonlWriter, parse_json, to_json
from collab_sdk.logs import (
    CHAT_WRITERS,
    get_chat_writer,
    get_preference_format,
    in_order_of_calls,
    log_format_names,
    preference_format_names,
    read_conversations,
)
from collab_sdk.messages import Message, as_messages, deeds_of, is_decision, link_tool_calls, since_the_user
from collab_sdk.types import Conversation, Goal, MRScore, PreferencePair

USER, REPLY, OTHER = (
    {"role": role, "content": text} for role, text in (("user", "hi"), ("assistant", "a"), ("assistant", "b"))
)
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
STEPS = [
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "rain", "tool_call_id": "c1"},
    {"role": "assistant", "content": "It rains."},
]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def leaf(name, parent, role, text):
    content = {"content_type": "text", "parts": [text]}
    return {name: {"parent": parent, "message": {"author": {"role": role}, "content": content}}}


SAMPLES = {
    "bedrock": [{
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "requestId": "r", "operation": "Converse",
        "modelId": "m", "input": {"inputBodyJson": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}},
        "output": {"outputBodyJson": {"output": {"message": {"role": "assistant", "content": [{"text": "a"}]}}}},
    }],
    "call-rows": [{"messages": STEPS[:-1], "output": "It rains.", "tools": [TOOL], "model": "m", "session_id": "x"}],
    "call-pairs": [{
        "request": {"messages": STEPS[:-1], "tools": [TOOL]}, "response": {"choices": [{"message": STEPS[-1]}]},
    }],
    "helicone": [{
        "request_id": "r", "request_body": {"model": "m", "messages": STEPS[:-1], "tools": [TOOL]},
        "response_body": {"choices": [{"message": STEPS[-1]}]}, "request_properties": {"Helicone-Session-Id": "x"},
    }],
    "litellm": [{
        "request_id": "r", "call_type": "acompletion", "spend": 0.1, "session_id": "x", "messages": {},
        "proxy_server_request": {"model": "m", "messages": STEPS[:-1], "tools": [TOOL]},
        "response": {"choices": [{"message": STEPS[-1]}]},
    }],
    "openai": [{"id": "x", "messages": STEPS, "tools": [TOOL], "goal": {"text": "g", "reference": "42"}}],
    "sharegpt": [{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "a"}]}],
    "chatgpt": [{
        "id": "x", "current_node": "a",
        "mapping": leaf("u", None, "user", "hi") | leaf("a", "u", "assistant", "a") | leaf("b", "u", "assistant", "b"),
    }],
    "claude": [{"uuid": "x", "chat_messages": [
        {"sender": "human", "text": "hi", "content": []}, {"sender": "assistant", "text": "a", "content": []},
    ]}],
    "claude-code": [
        {"type": "user", "sessionId": "x", "uuid": "1", "parentUuid": None, "message": USER},
        {"type": "assistant", "sessionId": "x", "uuid": "2", "parentUuid": "1", "message": REPLY},
    ],
    "codex": [
        {"type": "session_meta", "payload": {"id": "x"}},
        {"type": "response_item", "payload": {"type": "message", **USER}},
        {"type": "response_item", "payload": {"type": "message", **REPLY}},
    ],
    "open-webui": [{"id": "x", "title": "t", "chat": {"history": {"currentId": "a", "messages": {
        "u": {"parentId": None, **USER}, "a": {"parentId": "u", **REPLY}, "b": {"parentId": "u", **OTHER},
    }}}}],
    "deepseek": [{"id": "x", "mapping": {
        "1": {"parent": None, "message": {"fragments": [{"type": "REQUEST", "content": "hi"}]}},
        "3": {"parent": "1", "message": {"fragments": [{"type": "RESPONSE", "content": "b"}]}},
        "2": {"parent": "1", "message": {"fragments": [{"type": "RESPONSE", "content": "a"}]}},
    }}],
    "lm-studio": [{"name": "t", "messages": [
        {"versions": [{"type": "singleStep", **USER}], "currentlySelected": 0},
        {"versions": [{"type": "singleStep", **REPLY}, {"type": "singleStep", **OTHER}], "currentlySelected": 0},
    ]}],
    "sillytavern": [
        {"user_name": "You", "character_name": "C", "chat_metadata": {}},
        {"name": "You", "is_user": True, "mes": "hi"},
        {"name": "C", "is_user": False, "mes": "a", "swipes": ["a", "b"], "swipe_id": 0},
    ],
    "librechat": [{"conversationId": "x", "messages": [
        {"messageId": "u", "isCreatedByUser": True, "text": "hi"},
        {"messageId": "a", "isCreatedByUser": False, "text": "a"},
    ]}],
    "lmsys": [{"conversation_id": "x", "model": "m", "conversation": [USER, REPLY]}],
    "wildchat": [{"conversation_hash": "h", "model": "m", "conversation": [USER, REPLY]}],
    "taskmaster": [{"conversation_id": "x", "utterances": [
        {"speaker": "USER", "text": "hi"}, {"speaker": "ASSISTANT", "text": "a"},
    ]}],
    "langsmith": [{
        "id": "r", "run_type": "llm", "inputs": {"messages": STEPS[:-1]},
        "outputs": {"choices": [{"message": STEPS[-1]}]},
        "extra": {"metadata": {"thread_id": "x"}, "invocation_params": {"tools": [TOOL]}},
    }],
    "langfuse": [{"id": "o", "trace_id": "t", "type": "GENERATION", "input": json.dumps([USER]), "output": "a"}],
    "openai-batch": [
        {"custom_id": "1", "body": {"messages": [USER]}},
        {"custom_id": "1", "response": {"body": {"choices": [{"message": REPLY}, {"message": OTHER}]}}},
    ],
    "mlflow": [{"info": {"trace_metadata": {"mlflow.trace.session": "s"}}, "data": {"spans": [{
        "trace_id": "t", "span_id": "s", "attributes": {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.spanInputs": json.dumps({"messages": STEPS[:-1], "tools": [TOOL]}),
            "mlflow.spanOutputs": json.dumps({"choices": [{"message": STEPS[-1]}]}),
        },
    }]}}],
    "otel": [{"context": {"trace_id": "t", "span_id": "s"}, "attributes": {
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "a"}]}],
    }}],
    "preferences": [{"prompt": [USER], "chosen": [REPLY], "rejected": [OTHER]}],
    "ranked": [{
        "question_id": "x", "model_a": "m", "model_b": "n", "winner": "model_a",
        "conversation_a": [USER, REPLY], "conversation_b": [USER, OTHER],
    }],
    "gemini": [{
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "a"}]}],
    }],
    "dialogues": [{"id": "x", "dialogue": [{"speaker": "user", "text": "hi"}, {"speaker": "bot", "text": "a"}]}],
    "oasst": [{"message_tree_id": "x", "prompt": {"text": "hi", "role": "prompter", "replies": [
        {"text": "b", "role": "assistant", "rank": 1, "replies": []},
        {"text": "a", "role": "assistant", "rank": 0, "replies": []},
    ]}}],
    "message-rows": [{"conversation_id": "x", "timestamp": f"2026-01-01T00:00:0{n}Z", **message}
                     for n, message in enumerate(STEPS)],
    "transcripts": [{"text": "### Human: hi### Assistant: a"}],
    "instructions": [{"instruction": "hi", "input": "there", "output": "a", "system": "s", "history": [["q", "r"]]}],
}  # fmt: skip


def written_and_read(folder, rows, **options):
    with JsonlWriter(folder / "log.jsonl") as out:
        for row in rows:
            out.write(row)
    return list(read_conversations([folder / "log.jsonl"], **options))


def test_there_is_a_sample_of_every_format():
    assert SAMPLES.keys() == set(log_format_names())


@pytest.mark.parametrize("forced", [False, True], ids=["detected", "forced"])
@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_is_kept_whole_by_our_own(name, forced, tmp_path):
    first = written_and_read(tmp_path, SAMPLES[name], format=name if forced else None)
    assert len(first) == 1
    assert first[0].opening[-1].role == "user"
    assert written_and_read(tmp_path, map(get_chat_writer("collab"), first)) == first


@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_keeps_its_messages_in_the_others(name, tmp_path):
    [first] = written_and_read(tmp_path, SAMPLES[name])
    for writer in ("openai", "sharegpt"):
        [again] = written_and_read(tmp_path, [get_chat_writer(writer)(first)])
        assert [(m.role, m.content) for m in again.messages] == [(m.role, m.content) for m in first.messages]
        assert [[c["function"] for c in m.tool_calls] for m in again.messages] == [
            [c["function"] for c in m.tool_calls] for m in first.messages
        ]
        assert again.tools == first.tools


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match=r"Known: .*chatgpt, .*langfuse"):
        read_conversations([], format="csv")
    with pytest.raises(UnknownNameError, match="Known: collab, openai, sharegpt"):
        get_chat_writer("csv")


# Wild content

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
said = texts.filter(str.strip)
users = st.builds(lambda text: Message(role="user", content=text), texts)
assistants = st.builds(lambda text: Message(role="assistant", content=text), texts)
systems = st.builds(lambda text: Message(role="system", content=text), texts)
steps = st.builds(
    lambda text, number: (
        Message(role="assistant", content="", tool_calls=({**CALL, "id": f"c{number}"},)),
        Message(role="tool", content=text, tool_call_id=f"c{number}"),
    ),
    texts,
    st.integers(0, 99),
)


@st.composite
def responses(draw):
    return (*draw(st.just(()) | steps), Message(role="assistant", content=draw(said)))


@st.composite
def conversations(draw):
    messages = [*draw(st.lists(systems, max_size=1)), draw(users), draw(assistants)]
    for _ in range(draw(st.integers(0, 3))):
        messages += [draw(users), *draw(st.just(()) | steps), draw(assistants)]
    chat = Conversation(id=draw(said), messages=link_tool_calls(messages))
    turns = [turn.index for turn in chat.turns()]
    alternatives = st.lists(responses(), min_size=1, max_size=2, unique_by=deeds_of).map(tuple)
    others = st.dictionaries(st.sampled_from(turns), alternatives) if turns else None
    return replace(
        chat,
        goal=draw(st.none() | st.builds(Goal, text=said, reference=st.none() | said)),
        tools=draw(st.just(()) | st.just((TOOL,))),
        metadata=draw(st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=2)),
        alternatives=draw(others) if others is not None else {},
    )


@settings(max_examples=50)
@given(chat=conversations())
def test_wild_conversations_come_back_whole(tmp_path_factory, chat):
    assert written_and_read(tmp_path_factory.mktemp("wild"), [get_chat_writer("collab")(chat)]) == [chat]


@settings(max_examples=50)
@given(chat=conversations())
def test_wild_conversations_keep_their_messages_in_every_format(tmp_path_factory, chat):
    for writer in CHAT_WRITERS.values():
        [again] = written_and_read(tmp_path_factory.mktemp("wild"), [writer(chat)])
        assert [(m.role, m.content) for m in again.messages] == [(m.role, m.content) for m in chat.messages]
        assert again.tools == chat.tools


def written_as(messages):
    """What a file holds of messages; arguments are compared as values."""
    return [
        (message.role, in_utf_8(message.content), message.name, message.tool_call_id, deeds_as_written([message]))
        for message in messages
    ]


def deeds_as_written(messages):
    return [
        (" ".join(in_utf_8(message.content).split()), *((call.name, arguments_of(call)) for call in message.calls))
        for message in messages
        if is_decision(message)
    ]


def arguments_of(call):
    try:
        return json.dumps(parse_json(call.arguments or "{}"))
    except InputError:
        return in_utf_8(call.arguments)


def in_utf_8(text):
    return parse_json(to_json(text))


def said_and_done(messages):
    """Texts and calls in their order, whether or not they were in one message."""
    for message in messages:
        if message.content or not message.calls:
            yield message.role, in_utf_8(message.content)
        yield from ((call.name, arguments_of(call)) for call in message.calls)


@settings(max_examples=60)
@given(pair=wild_pairs())
@pytest.mark.parametrize("name", CHAT_WRITERS)
def test_chats_with_wild_calls_come_back_from_every_format(name, pair, tmp_path_factory):
    chat = Conversation(id="x", messages=(*pair.prompt, *pair.chosen.response), tools=pair.tools)
    [again] = written_and_read(tmp_path_factory.mktemp("wild"), [get_chat_writer(name)(chat)], on_error=print)
    if name == "sharegpt":  # where a turn is text or calls, and results follow in the order of their calls
        assert list(said_and_done(again.messages)) == list(said_and_done(in_order_of_calls(chat.messages)))
    else:
        assert written_as(again.messages) == written_as(chat.messages)
    assert again.tools == chat.tools


@settings(max_examples=100)
@given(pair=wild_pairs())
@pytest.mark.parametrize("format", preference_format_names())
def test_the_rows_of_every_preference_writer_read_back_as_chats(format, pair, tmp_path_factory):
    writer = get_preference_format(format)
    # The text prompt of an ultrafeedback row does not tell that the assistant spoke before it.
    greeted = format == "ultrafeedback" and next(m.role for m in pair.prompt if m.role != "system") == "assistant"
    if writer.cannot_hold(pair) is not None or greeted:
        return
    [chat, *rest] = written_and_read(tmp_path_factory.mktemp("wild"), writer.rows(pair), on_error=print)
    *_, last = chat.turns()
    chosen, rejected = pair.chosen.response, pair.rejected.response
    begun = [message for message in since_the_user(pair.prompt) if message.role != "system"]
    if format == "llama-factory":  # merges what a side says in a row, and knows no ids
        assert deeds_as_written(last.response) == deeds_as_written([*begun, *chosen])
        assert [tool["function"]["name"] for tool in chat.tools] == [tool["function"]["name"] for tool in pair.tools]
    else:
        in_order = in_order_of_calls if format not in ("openai", "together") else list
        assert written_as(chat.messages) == written_as(in_order((*pair.prompt, *chosen)))
        assert chat.tools == (pair.tools if format != "axolotl" else ())
    # The other side answers the same history: of a turn that had begun, both hold what was done before.
    others = [deeds_as_written([*begun, *rejected])] if format not in ("kto", "sft") else []
    found = {turn: list(map(deeds_as_written, each)) for turn, each in chat.alternatives.items()}
    assert found == ({last.index: others} if others else {})
    if format == "kto":
        assert [deeds_as_written(list(one.turns())[-1].response) for one in rest] == [
            deeds_as_written([*begun, *rejected])
        ]


def test_a_pair_of_decisions_reads_back_as_a_turn_that_could_have_gone_on_otherwise(tmp_path):
    history = as_messages(STEPS[:3])
    chosen, rejected = (MRScore(response=says(text), futures=(), value=1.0, stderr=None) for text in ("Rain.", "Sun."))
    pair = PreferencePair(conversation_id="x", turn=1, prompt=history, chosen=chosen, rejected=rejected, tools=(TOOL,))
    for format in ("trl", "trl-implicit", "openai"):
        [chat] = written_and_read(tmp_path, get_preference_format(format).rows(pair))
        [turn] = chat.turns()
        assert [other[:2] for other in turn.alternatives] == [turn.response[:2]]
        _, after = chat.decisions()
        assert (after.text, [each.content for [each] in after.alternatives]) == ("Rain.", ["Sun."])


def test_sides_that_answer_different_messages_are_no_pair(tmp_path):
    errors = []
    row = {"chosen": [USER, REPLY], "rejected": [{"role": "user", "content": "x"}, OTHER]}
    assert written_and_read(tmp_path, [row], on_error=errors.append) == []
    assert "chosen and rejected are not responses to the same messages" in str(errors[0])
