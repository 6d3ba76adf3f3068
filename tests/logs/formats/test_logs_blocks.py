"""The one reader of messages: every spelling of text, reasoning, calls, results and media."""

import json
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collab_sdk.errors import InputError
from collab_sdk.logs import message_of, read_messages, tools_of
from collab_sdk.logs.notes import noting
from collab_sdk.messages import ROLES, Message, link_tool_calls


def read(*values):
    notes = Counter()
    with noting(notes):
        messages = read_messages(list(values))
    return messages, notes


def shown(messages):
    """Role, text, calls as (id, name, arguments), and the call that is answered."""
    return [
        (one.role, one.content, [(call.id, call.name, call.parsed) for call in one.calls], one.tool_call_id)
        for one in messages
    ]


CALLED = [
    ("assistant", "I look.", [("c1", "stock", {"item": "rye"})], None),
    ("tool", "12", [], "c1"),
    ("assistant", "Twelve.", [], None),
]
ARGUMENTS = {"item": "rye"}
SPELLINGS = {
    "openai": [
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "stock", "arguments": json.dumps(ARGUMENTS)}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "12"},
        {"role": "assistant", "content": [{"type": "text", "text": "Twelve."}]},
    ],
    "openai, arguments as an object, result as one": [
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "stock", "arguments": ARGUMENTS}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": 12},
        {"role": "assistant", "content": "Twelve.", "refusal": None},
    ],
    "responses items": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c1", "name": "stock", "arguments": json.dumps(ARGUMENTS)},
        {"type": "function_call_output", "call_id": "c1", "output": "12"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Twelve."}]},
    ],
    "anthropic": [
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "c1", "name": "stock", "input": ARGUMENTS},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "12"}]}
        ]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Twel"}, {"type": "text", "text": "ve.", "citations": [{"cited_text": "twelve"}]},
        ]},
    ],
    "claude.ai, the result in the assistant's message": [
        {"sender": "assistant", "text": "", "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "c1", "name": "stock", "input": ARGUMENTS},
            {"type": "tool_result", "tool_use_id": "c1", "name": "stock", "content": [{"type": "text", "text": "12"}]},
            {"type": "text", "text": "Twelve."},
        ]},
    ],
    "bedrock": [
        {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm"}}},
            {"text": "I look."}, {"toolUse": {"toolUseId": "c1", "name": "stock", "input": ARGUMENTS}},
        ]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"json": 12}]}}]},
        {"role": "assistant", "content": [{"text": "Twelve."}]},
    ],
    "gemini": [
        {"role": "model", "parts": [
            {"text": "hm", "thought": True}, {"text": "I look."},
            {"functionCall": {"id": "c1", "name": "stock", "args": ARGUMENTS}},
        ]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "stock", "response": 12}}]},
        {"role": "model", "parts": [{"text": "Twelve."}]},
    ],
    "ai sdk ui messages": [
        {"id": "m1", "role": "assistant", "parts": [
            {"type": "step-start"}, {"type": "reasoning", "text": "hm"}, {"type": "text", "text": "I look."},
            {"type": "tool-stock", "toolCallId": "c1", "state": "output-available", "input": ARGUMENTS, "output": 12},
            {"type": "step-start"}, {"type": "text", "text": "Twelve.", "state": "done"},
        ]},
    ],
    "ai sdk ui messages, older": [
        {"id": "m1", "role": "assistant", "content": "I look.Twelve.", "parts": [
            {"type": "text", "text": "I look."},
            {"type": "tool-invocation", "toolInvocation": {
                "state": "result", "toolCallId": "c1", "toolName": "stock", "args": ARGUMENTS, "result": 12,
            }},
            {"type": "text", "text": "Twelve."},
        ]},
    ],
    "ai sdk model messages": [
        {"role": "assistant", "content": [
            {"type": "reasoning", "text": "hm"}, {"type": "text", "text": "I look."},
            {"type": "tool-call", "toolCallId": "c1", "toolName": "stock", "input": ARGUMENTS},
        ]},
        {"role": "tool", "content": [
            {"type": "tool-result", "toolCallId": "c1", "toolName": "stock", "output": {"type": "json", "value": 12}}
        ]},
        {"role": "assistant", "content": [{"type": "text", "text": "Twelve."}]},
    ],
    "opentelemetry": [
        {"role": "assistant", "parts": [
            {"type": "reasoning", "content": "hm"}, {"type": "text", "content": "I look."},
            {"type": "tool_call", "id": "c1", "name": "stock", "arguments": ARGUMENTS},
        ]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "12"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "Twelve."}], "finish_reason": "stop"},
    ],
    "langchain constructors": [
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"], "kwargs": {
            "content": [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "c1", "name": "stock"}],
            "tool_calls": [{"id": "c1", "name": "stock", "args": ARGUMENTS, "type": "tool_call"}],
        }},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "ToolMessage"], "kwargs": {
            "content": "12", "tool_call_id": "c1",
        }},
        {"type": "ai", "data": {"content": "Twelve."}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_call_with_its_result_is_the_same_in_every_spelling(name):
    messages, notes = read(*SPELLINGS[name])
    assert shown(link_tool_calls(messages)) == CALLED
    assert not notes
    assert {message.reasoning for message in messages} <= {"hm", ""}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "Rye?"},
        {"type": "input_text", "text": "Rye?"},
        {"type": "text", "text": {"value": "Rye?", "annotations": []}},
        {"type": "text", "content": "Rye?"},
        {"text": "Rye?"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}, "transcript": "Rye?"},
        "Rye?",
    ],
)
def test_text_is_text_in_every_spelling(part):
    assert read({"role": "user", "content": [part]}) == ((Message(role="user", content="Rye?"),), {})


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "image"),
        ({"type": "input_image", "image_url": "https://x"}, "image"),
        ({"type": "image", "source": {"type": "base64", "data": "AAAA"}}, "image"),
        ({"type": "image_file", "image_file": {"file_id": "f"}}, "image"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA"}}, "audio"),
        ({"type": "document", "source": {"data": "AAAA"}}, "document"),
        ({"type": "input_file", "file_id": "f"}, "file"),
        ({"type": "file", "mediaType": "image/png", "url": "data:"}, "image"),
        ({"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}, "video"),
        ({"type": "blob", "modality": "image", "content": "AAAA"}, "image"),
        ({"image": {"format": "png", "source": {"bytes": "AAAA"}}}, "image"),
    ],
)
def test_media_are_a_counted_placeholder_on_its_own_line(part, kind):
    [message], notes = read({"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]})
    assert message.content == f"What is it?\n[{kind}]"
    assert notes == {f"[{kind}] in place of content that is not text": 1}


@pytest.mark.parametrize("part", [{"type": "mystery"}, {"type": "mystery", "text": "said by nobody"}, 5, None, [], {}])
def test_an_unknown_part_is_counted_and_is_never_text(part):
    [message], notes = read({"role": "assistant", "content": [{"type": "text", "text": "Yes."}, part]})
    assert message.content == "Yes."
    assert sum(notes.values()) == 1


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"role": "narrator", "content": "x"}, "unknown role 'narrator'"),
        ({"content": "x"}, "unknown role null"),
        ({"role": "user"}, "no content"),
        ({"role": "assistant"}, "no content"),
        ({"role": "user", "content": None}, "content must be a string or a list of parts, not null"),
        ("hello", "a message must be an object"),
    ],
)
def test_what_leaves_the_speaker_or_the_words_in_doubt_is_an_error(value, problem):
    with pytest.raises(InputError, match=f"message 1: {problem}"):
        read(value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (json.dumps([{"type": "text", "text": "Rye?"}, {"type": "text", "text": "Or not?"}]), "Rye?\nOr not?"),
        ('[{"type": "order", "item": "rye"}]', '[{"type": "order", "item": "rye"}]'),
        ('[{"type": "text", "text": "cut of', '[{"type": "text", "text": "cut of'),
    ],
)
def test_blocks_as_json_text_are_read_and_what_only_looks_like_them_is_what_was_said(content, text):
    assert read({"role": "user", "content": content}) == ((Message(role="user", content=text),), {})


@pytest.mark.parametrize(
    "call",
    [
        {"type": "web_search_call", "id": "w1", "status": "completed", "action": {"type": "search", "query": "rye"}},
        {"type": "file_search_call", "id": "w1", "queries": ["rye"], "results": [{"text": "12"}]},
        {"type": "image_generation_call", "id": "w1", "result": "iVBORw0KGgo"},
        {"type": "mcp_call", "id": "w1", "name": "stock", "arguments": "{}", "output": "12"},
    ],
)
def test_a_call_that_the_provider_runs_has_a_result(call):
    messages, _ = read(call, {"role": "assistant", "content": "Twelve."})
    assert [(one.role, one.tool_call_id) for one in messages] == [
        ("assistant", None), ("tool", "w1"), ("assistant", None),
    ]  # fmt: skip
    assert "iVBOR" not in messages[1].content


def test_a_speaker_may_be_a_call_and_its_result():
    messages, notes = read(
        {"role": "function_call", "content": '{"name": "stock", "arguments": {"item": "rye"}}'},
        {"role": "observation", "content": "12"},
        {"role": "gpt", "content": "Twelve."},
    )
    [call] = messages[0].calls
    assert (call.name, call.parsed) == ("stock", {"item": "rye"})
    assert [(one.role, one.content) for one in messages] == [
        ("assistant", ""),
        ("tool", "12"),
        ("assistant", "Twelve."),
    ]
    assert not notes


def test_citation_marks_that_a_provider_names_are_no_words():
    mark = "\u30104:0\u2020source\u3011"
    value = {"value": f"Twelve.{mark}", "annotations": [{"type": "file_citation", "text": mark}]}
    [message], _ = read({"role": "assistant", "content": [{"type": "text", "text": value}]})
    assert message.content == "Twelve."


def test_parallel_calls_may_be_logged_as_messages_one_after_the_other():
    calls = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": id, "function": {"name": "f"}}]} for id in "ab"
    ]
    results = [{"role": "tool", "tool_call_id": id, "content": id} for id in "ab"]
    messages, _ = read(*calls, *results)
    assert [(one.role, [call.id for call in one.calls]) for one in messages] == [
        ("assistant", ["a", "b"]), ("tool", []), ("tool", []),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("user", "bot"),
    [
        ({"sender": {"type": "customer"}}, {"sender": {"type": "bot"}}),
        ({"from": {"role": "user"}}, {"from": {"role": "assistant"}}),
        ({"author": {"id": "u1", "name": "Ann", "role": "human"}}, {"author": {"name": "assistant"}}),
    ],
)
def test_a_speaker_may_be_an_object(user, bot):
    messages, _ = read({**user, "text": "Rye?"}, {**bot, "text": "Yes."})
    assert [(one.role, one.content) for one in messages] == [("user", "Rye?"), ("assistant", "Yes.")]


def test_code_that_gemini_runs_is_a_call_with_its_result():
    code = {"executableCode": {"language": "PYTHON", "code": "print(12)"}}
    messages, notes = read(
        {
            "role": "model",
            "parts": [code, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "12"}}, {"text": "12."}],
        }
    )
    assert [(one.role, one.content, [call.parsed for call in one.calls]) for one in messages] == [
        ("assistant", "", [{"code": "print(12)"}]), ("tool", "12", []), ("assistant", "12.", []),
    ]  # fmt: skip
    assert not notes


def test_a_spoken_reply_is_its_transcript():
    [message], notes = read({"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "Yes."}})
    assert message.content == "Yes."
    assert not notes


def test_the_pieces_of_a_streamed_reply_are_one_text():
    messages, _ = read(
        {"role": "user", "parts": [{"text": "The list."}, {"text": "Is rye on it?"}]},
        {"role": "model", "parts": [{"text": "Ye"}, {"text": "s."}]},
    )
    assert [message.content for message in messages] == ["The list.\nIs rye on it?", "Yes."]


@pytest.mark.parametrize("role", ["user", "system"])
def test_a_call_of_one_who_cannot_make_any_is_counted_and_the_words_around_it_are_kept(role):
    call = {"type": "tool_use", "id": "c1", "name": "stock", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "12"}
    parts = [{"type": "text", "text": "Before."}, call, result, {"type": "text", "text": "Behind."}]
    messages, notes = read({"role": role, "content": parts})
    assert messages[-1].content == "Before.\nBehind."
    assert notes == {"calls of tools that cannot be read, left out": 1}


def test_one_bad_call_costs_itself():
    calls = [7, {"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    [message], notes = read({"role": "assistant", "content": "x", "tool_calls": calls})
    assert [call.name for call in message.calls] == ["f"]
    assert notes == {"calls of tools that cannot be read, left out": 1}


def test_parallel_calls_are_calls_of_one_message():
    item = {"type": "function_call", "name": "stock", "arguments": "{}"}
    result = {"type": "function_call_output", "output": "1"}
    ids = ("a", "b")
    messages, _ = read(*({**item, "call_id": id} for id in ids), *({**result, "call_id": id} for id in ids))
    assert [(one.role, len(one.calls)) for one in messages] == [("assistant", 2), ("tool", 0), ("tool", 0)]
    parts = [
        {"type": "tool-stock", "toolCallId": id, "state": "output-available", "input": {}, "output": 1} for id in ids
    ]
    messages, _ = read({"role": "assistant", "parts": parts})
    assert [(one.role, len(one.calls)) for one in messages] == [("assistant", 2), ("tool", 0), ("tool", 0)]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "function", "name": "f", "parameters": {"type": "object"}},
        {"name": "f", "input_schema": {"type": "object"}},
        {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}},
        {"functionDeclarations": [{"name": "f", "parameters": {"type": "object"}}]},
        {"name": "f", "inputSchema": {"type": "object"}},
    ],
)
def test_tools_of_every_provider_are_in_openais_form(tool):
    [read_tool] = tools_of([tool])
    assert read_tool == {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert tools_of(json.dumps([tool])) == (read_tool,)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(
    """text input_text output_text refusal thinking redacted_thinking reasoning tool_use tool_result tool-call
    tool-result function_call function_call_output tool_call tool_call_response image_url document mystery tool-x
    dynamic-tool tool-invocation web_search_call server_tool_use json input_audio step-start source-url""".split()
)
keys = st.sampled_from(
    """text content thinking id name input arguments args output result state toolCallId toolName tool_use_id call_id
    summary refusal functionCall functionResponse toolUse toolResult inlineData thought citations transcript""".split()
)
wild_parts = st.builds(
    lambda kind, fields: {"type": kind, **fields}, kinds, st.dictionaries(keys, json_values, max_size=4)
)
wild_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
    optional={
        "content": st.lists(wild_parts | json_values, max_size=4) | json_values,
        "tool_calls": json_values | st.lists(wild_parts, max_size=2),
        "function_call": json_values,
        "tool_call_id": json_values,
        "additional_kwargs": json_values,
        "name": json_values,
    },
)


PLACEHOLDERS = ("[image]", "[audio]", "[document]", "[file]", "[video]", "[attachment]")


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def words_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from words_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words_in(inner)


@given(wild_messages)
@example({"role": "assistant", "content": [{"type": "tool-x", "state": []}]})
def test_whatever_a_message_holds_is_read_as_messages_without_a_word_of_its_own(value):
    try:
        messages = message_of(value)
    except InputError:
        return
    given_words = "\n".join(words_in(value))
    for message in messages:
        assert message.role in ROLES
        assert isinstance(message.content, str)
        assert isinstance(message.reasoning, str)
        for line in message.content.splitlines() if message.role != "tool" else ():  # results are JSON, spelled anew
            assert line in PLACEHOLDERS or line in given_words or is_json(line)
    link_tool_calls(messages)


def test_calls_and_thoughts_of_librechat_stand_in_fields_of_their_own():
    messages, notes = read(
        {
            "role": "assistant",
            "content": [
                {"type": "think", "think": {"value": "hm"}},
                {"type": "agent_update", "agent_update": {"agentId": "x"}},
                {
                    "type": "tool_call",
                    "tool_call": {"id": "c1", "name": "stock", "args": '{"item":"rye"}', "output": "12"},
                },
                {"type": "text", "text": "Twelve."},
            ],
        }
    )
    assert shown(messages) == [("assistant", "", *CALLED[0][2:]), *CALLED[1:]]
    assert messages[0].reasoning == "hm"
    assert notes == {}


def test_the_search_of_tools_is_a_call_with_its_result():
    messages, notes = read(
        {"type": "tool_search_call", "call_id": "c1", "arguments": {"query": "stock"}},
        {"type": "tool_search_output", "call_id": "c1", "tools": [{"name": "stock"}]},
    )
    assert shown(messages) == [
        ("assistant", "", [("c1", "tool_search", {"query": "stock"})], None),
        ("tool", '[{"name":"stock"}]', [], "c1"),
    ]
    assert notes == {}
