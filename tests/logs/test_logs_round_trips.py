"""What is read, written and read again is the same, but for what docs/formats.md lists."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import says

from collab_sdk.errors import UnknownNameError
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import (
    CHAT_WRITERS,
    get_chat_writer,
    get_preference_format,
    log_format_names,
    preference_format_names,
    read_conversations,
)
from collab_sdk.messages import Message, as_messages, deeds_of, link_tool_calls
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
    "otel": [{"context": {"trace_id": "t", "span_id": "s"}, "attributes": {
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "a"}]}],
    }}],
    "preferences": [{"prompt": [USER], "chosen": [REPLY], "rejected": [OTHER]}],
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
    assert first[0].messages[0].role == "user"
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
    with pytest.raises(UnknownNameError, match="Known: chatgpt, claude"):
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


@st.composite
def sides(draw):
    """A text, a decision that is a call, or a turn with calls and results."""
    text = draw(said.map(str.strip))
    if draw(st.booleans()):
        return says(text)
    arguments = draw(st.sampled_from(['{"city": "Rome"}', "{}", '{"city": {"of": [1, null]}}', '{"city": "Ro']))
    names = draw(st.lists(st.sampled_from(["weather", "order"]), min_size=1, max_size=2))
    calls = tuple(
        {"id": f"made-{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, name in enumerate(names)
    )
    calling = Message(role="assistant", content=draw(st.just("") | st.just("One moment.")), tool_calls=calls)
    results = (Message(role="tool", content="rain", tool_call_id=call["id"]) for call in calls)
    return draw(st.sampled_from([(calling,), (calling, *results, *says(text))]))


@st.composite
def pairs(draw):
    def score(response, value):
        return MRScore(response=response, futures=(), value=value, stderr=None)

    history = draw(conversations()).messages[:-1]
    last = len(history) - next(n for n, message in enumerate(reversed(history)) if message.role == "user")
    chosen, rejected = draw(st.lists(sides(), min_size=2, max_size=2, unique_by=deeds_of))
    return PreferencePair(
        conversation_id=draw(said),
        turn=draw(st.integers(0, 9)),
        prompt=history[:last],
        chosen=score(chosen, 0.75),
        rejected=score(rejected, 0.5),
        tools=draw(st.just(()) | st.just((TOOL,))),
    )


def written_as(messages):
    """What of messages a row holds; arguments are compared as values."""
    return [
        (message.role, message.content, message.name, message.tool_call_id, [
            (call.id, call.name, call.parsed or call.arguments) for call in message.calls
        ])
        for message in messages
    ]  # fmt: skip


@settings(max_examples=60)
@given(pair=pairs())
@pytest.mark.parametrize("format", preference_format_names())
def test_the_rows_of_every_preference_writer_read_back_as_chats(format, pair, tmp_path_factory):
    writer = get_preference_format(format)
    if writer.cannot_hold(pair) is not None:
        return
    [chat, *rest] = written_and_read(tmp_path_factory.mktemp("wild"), writer.rows(pair), on_error=print)
    *_, last = chat.turns()
    if format == "llama-factory":  # merges what a side says in a row, and knows no ids
        assert sum(map(len, (m.content for m in pair.prompt))) <= sum(map(len, (m.content for m in chat.messages)))
        assert deeds_of(last.response) == deeds_of(pair.chosen.response)
    else:
        assert written_as(chat.messages) == written_as((*pair.prompt, *pair.chosen.response))
    others = {deeds_of(pair.rejected.response)} if format not in ("kto", "sft") else set()
    assert {turn: set(map(deeds_of, found)) for turn, found in chat.alternatives.items()} == (
        {last.index: others} if others else {}
    )
    if format == "kto":
        assert [deeds_of(tuple(one.turns())[-1].response) for one in rest] == [deeds_of(pair.rejected.response)]
    assert chat.tools == pair.tools


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
    row = {"chosen": [USER, REPLY, {"role": "user", "content": "x"}, OTHER], "rejected": [USER, REPLY]}
    assert written_and_read(tmp_path, [row], on_error=errors.append) == []
    assert "chosen and rejected are no responses to the same messages" in str(errors[0])
