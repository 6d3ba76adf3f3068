import gzip
import io
import json
import os
import random
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import DATA

from collab_sdk.errors import InputError
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import count_conversations, read_conversations
from collab_sdk.messages import Message
from collab_sdk.types import Goal

HELLO = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]


def chat(text="hello", **row):
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "hi"}], **row}


def lines(*rows) -> bytes:
    """JSON lines; a string goes in as it is."""
    return b"".join((row if isinstance(row, str) else json.dumps(row)).encode() + b"\n" for row in rows)


@pytest.fixture
def log(tmp_path):
    """Writes a log file and returns its path."""

    def write(content: bytes, name: str = "chats.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def read(*paths):
    """The conversations, and the errors as (where, problem); a place is shown without its folder."""
    errors = []
    conversations = list(read_conversations(paths, on_error=errors.append))
    return conversations, [(Path(error.where).name, error.problem) for error in errors]


def read_one(path):
    [conversation] = read_conversations([path])
    return conversation


def problem_with(path) -> str:
    """The one error in a file without a good row."""
    conversations, errors = read(path)
    assert conversations == []
    [(_, problem)] = errors
    return problem


def texts(conversations):
    return [conversation.messages[0].content for conversation in conversations]


# Formats


def test_openai_messages_are_read_with_goal_tools_and_metadata(log):
    tool = {"type": "function", "function": {"name": "order"}}
    row = chat(id="a", goal="a mocha", tools=[tool], metadata={"file": 4})

    conversation = read_one(log(lines(row)))

    assert conversation.id == "a"
    assert conversation.messages == (
        Message(role="user", content="hello"),
        Message(role="assistant", content="hi"),
    )
    assert conversation.goal == Goal(text="a mocha")
    assert conversation.tools == (tool,)
    assert conversation.metadata == {"file": 4}


def test_our_own_conversation_format_is_read_and_an_unknown_version_refused(log):
    path = log(lines({"schema": "collab/conversation/v1", **chat()}, {"schema": "collab/conversation/v9", **chat()}))

    conversations, [(where, problem)] = read(path)

    assert len(conversations) == 1
    assert where == "chats.jsonl:2"
    assert "collab/conversation/v9" in problem


@pytest.mark.parametrize(
    ("speaker", "role"),
    [
        *[(name, "user") for name in ("human", "user")],
        *[(name, "assistant") for name in ("gpt", "assistant", "chatgpt", "bing", "bard", "model")],
        *[(name, "tool") for name in ("observation", "tool", "function")],
        ("system", "system"),
    ],
)
def test_every_sharegpt_speaker_has_a_role(log, speaker, role):
    said = [{"from": speaker, "value": "x"}, {"from": "gpt", "value": "hi"}]
    assert read_one(log(lines({"conversations": said}))).messages[0].role == role


def test_a_sharegpt_chat_may_start_with_gpt_and_have_its_system_prompt_beside_it(log):
    said = [{"from": "gpt", "value": "Welcome"}, {"from": "human", "value": "hi"}, {"from": "gpt", "value": "Yes?"}]

    conversation = read_one(log(lines({"id": 7, "system": "Be brief.", "conversations": said})))

    assert conversation.id == "7"
    assert [(m.role, m.content) for m in conversation.messages][:2] == [
        ("system", "Be brief."),
        ("assistant", "Welcome"),
    ]
    assert [turn.text for turn in conversation.turns()] == ["Yes?"]


def test_sharegpt_function_calls_become_tool_calls_linked_to_their_results(log):
    said = [
        {"from": "human", "value": "weather?"},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Köln"}}'},
        {"from": "observation", "value": "rain"},
        {"from": "gpt", "value": "It rains."},
    ]

    conversation = read_one(log(lines({"conversations": said})))

    _, call, result, _ = conversation.messages
    [made] = call.tool_calls
    assert made["type"] == "function"
    assert made["function"] == {"name": "weather", "arguments": '{"city":"Köln"}'}
    assert result.role == "tool"
    assert result.tool_call_id == made["id"]
    assert [turn.text for turn in conversation.turns()] == ["It rains."]


def test_a_sharegpt_function_call_that_is_no_call_is_refused(log):
    said = [{"from": "function_call", "value": "look it up"}, {"from": "gpt", "value": "hi"}]
    assert problem_with(log(lines({"conversations": said}))).startswith("message 1: not JSON")


def test_developer_and_function_roles_and_calls_of_the_older_api_are_read(log):
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
        {"role": "function", "name": "weather", "content": "rain"},
        {"role": "assistant", "content": "It rains."},
    ]

    system, _, call, result, _ = read_one(log(lines({"messages": messages}))).messages

    assert system.role == "system"
    assert call.tool_calls[0]["function"]["name"] == "weather"
    assert (result.role, result.tool_call_id) == ("tool", call.tool_calls[0]["id"])


def test_tool_calls_with_ids_and_text_arguments_stay_as_they_are(log):
    calls = [
        {"id": name, "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
        for name in ("c1", "c2", "c3")
    ]
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c2", "content": "second"},
        {"role": "tool", "content": "first"},
        {"role": "tool", "content": "third"},
        {"role": "assistant", "content": "done"},
    ]

    read_back = read_one(log(lines({"messages": messages}))).messages

    assert list(read_back[1].tool_calls) == calls
    assert [message.tool_call_id for message in read_back[2:5]] == ["c2", "c1", "c3"]


def test_content_parts_are_joined_and_an_image_is_named(log):
    parts = [{"type": "text", "text": "this?"}, {"type": "image_url", "image_url": {"url": "data:..."}}]
    assert read_one(log(lines(chat(parts)))).messages[0].content == "this?\n[image]"


@pytest.mark.parametrize(
    ("row", "goal"),
    [
        ({"goal": "g"}, Goal(text="g")),
        ({"goal": "g", "reference": "42"}, Goal(text="g", reference="42")),
        ({"goal": {"text": "g", "reference": "42"}}, Goal(text="g", reference="42")),
        ({"goal": {"text": "g"}}, Goal(text="g")),
        ({"goal": " "}, None),
        ({"goal": None}, None),
        ({"reference": "42"}, Goal(text="", reference="42")),
        ({"goal": " ", "reference": "42"}, Goal(text="", reference="42")),
        ({"goal": {"reference": "42"}}, Goal(text="", reference="42")),
        ({"goal": "g", "reference": " "}, Goal(text="g")),
        ({"reference": " "}, None),
    ],
)
def test_a_goal_is_text_or_an_object_and_a_reference_is_kept_without_one(log, row, goal):
    assert read_one(log(lines(chat(**row)))).goal == goal


# Files


def test_the_content_decides_and_not_the_extension(log):
    rows = [chat("one"), {"conversations": [{"from": "human", "value": "two"}, {"from": "gpt", "value": "hi"}]}]
    assert texts(read_conversations([log(lines(*rows), "a.txt")])) == ["one", "two"]
    assert texts(read_conversations([log(json.dumps(rows).encode(), "b.jsonl")])) == ["one", "two"]
    assert texts(read_conversations([log(json.dumps(rows, indent=2).encode(), "c")])) == ["one", "two"]
    assert texts(read_conversations([log(json.dumps(rows[0], indent=2).encode(), "d.csv")])) == ["one"]


def test_an_array_with_one_chat_on_each_line_is_one_document(log):
    path = log(b"[\n" + json.dumps(chat("only")).encode() + b"\n]\n")
    assert texts(read_conversations([path])) == ["only"]


def test_an_item_of_an_array_is_named_in_its_error(log):
    conversations, errors = read(log(json.dumps([chat(), {"messages": []}, chat("bye")]).encode(), "a.json"))
    assert len(conversations) == 2
    assert errors == [("a.json, item 2", "no messages")]


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_do_no_harm(log):
    content = b"\xef\xbb\xbf\r\n" + lines(chat("one"), "", chat("two")).replace(b"\n", b"\r\n")
    assert texts(read_conversations([log(content)])) == ["one", "two"]


def test_gzip_is_known_by_its_first_bytes(log):
    path = log(gzip.compress(lines(chat("one"), chat("two"))), "chats.log")
    assert texts(read_conversations([path])) == ["one", "two"]


def test_gzip_that_ends_early_keeps_the_rows_before_the_cut(log):
    noise = random.Random(0)
    rows = [chat(str(noise.getrandbits(4000)), id=str(n)) for n in range(200)]
    whole = gzip.compress(lines(*rows))

    conversations, errors = read(log(whole[: len(whole) // 2], "chats.gz"))

    assert 0 < len(conversations) < 200
    [(where, problem)] = errors
    assert where == f"chats.gz:{len(conversations) + 1}"
    assert "cannot be read from here on" in problem


def test_a_damaged_gzip_is_an_error_with_its_place(log):
    damaged = bytearray(gzip.compress(lines(chat())))
    damaged[15:25] = b"\xff" * 10
    assert "cannot be read from here on" in problem_with(log(bytes(damaged)))


def test_a_folder_is_read_through_sorted_without_hidden_and_unfinished_files(log, tmp_path):
    log(lines(chat("2")), "logs/b/2.jsonl")
    log(lines(chat("1")), "logs/a.jsonl")
    log(gzip.compress(lines(chat("3"))), "logs/c.gz")
    log(b"not a chat", "logs/.hidden")
    log(b"not a chat", "logs/.git/config")
    log(b"not a chat", "logs/d.jsonl.partial")

    assert texts(read_conversations([tmp_path / "logs"])) == ["1", "2", "3"]


# The time in a gzip's header would name the test anew every second, and xdist's workers would disagree.
@pytest.mark.parametrize(
    "content", [lines(chat("piped")), gzip.compress(lines(chat("piped")), mtime=0)], ids=["plain", "gzip"]
)
def test_stdin_is_read_and_left_open(monkeypatch, content):
    stdin = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", stdin)

    assert texts(read_conversations(["-"])) == ["piped"]
    assert not stdin.buffer.closed


def test_an_error_in_stdin_says_so(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(chat(), "{"))))
    assert read("-")[1][0][0] == "stdin:2"


@pytest.mark.parametrize("bad", ["missing.jsonl", "empty", "null\0byte", "x" * 5000])
def test_a_path_that_cannot_be_read_is_refused_before_anything_is_read(log, tmp_path, bad):
    (tmp_path / "empty").mkdir()
    good = log(lines(chat()))
    with pytest.raises(InputError) as caught:
        read_conversations([good, tmp_path / bad], on_error=lambda error: None)
    assert caught.value.where == str(tmp_path / bad)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_refused_at_once(log):
    path = log(lines(chat()))
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        read_conversations([path])


def test_a_file_that_vanishes_before_its_turn_is_one_error(log):
    first, second = log(lines(chat("1")), "1.jsonl"), log(lines(chat("2")), "2.jsonl")
    errors = []
    conversations = read_conversations([first, second], on_error=errors.append)
    second.unlink()
    assert texts(conversations) == ["1"]
    assert [error.problem for error in errors] == ["cannot be read from here on: No such file or directory"]


def test_one_path_may_be_given_without_a_list(log):
    assert texts(read_conversations(str(log(lines(chat("one")))))) == ["one"]


def test_a_long_log_is_read_with_flat_memory(log):
    rows = 4000
    path = log(b"".join(lines(chat("x" * 5000, id=str(n))) for n in range(rows)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_conversations([path])) == rows
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 10


# Bad rows


def test_a_line_that_is_not_json_is_reported_with_file_and_line_and_the_rest_is_read(log):
    conversations, errors = read(log(lines(chat("one"), '{"messages": [', chat("two"))))
    assert texts(conversations) == ["one", "two"]
    assert errors == [("chats.jsonl:2", "not JSON: Expecting value at column 15")]


@pytest.mark.parametrize("first", ["not json", '{"messages": [', "[broken", "[1, 2]", "5", "\ufffd", "[" * 100_000])
def test_a_bad_first_line_does_not_cost_the_others(log, first):
    conversations, errors = read(log(lines(first, chat("one"), "oops", chat("two"))))
    assert texts(conversations) == ["one", "two"]
    assert [where for where, _ in errors] == ["chats.jsonl:1", "chats.jsonl:3"]


def test_without_on_error_the_first_bad_row_raises(log):
    conversations = read_conversations([log(lines(chat("one"), "oops", chat("two")))])
    assert next(conversations).messages[0].content == "one"
    with pytest.raises(InputError, match=r"chats\.jsonl:2: not JSON"):
        next(conversations)


@pytest.mark.parametrize(
    "content",
    [b"# Notes\n" * 50, bytes(range(256)) * 20, b"5\n", b"a b\n1 2\n", b'"text"', b"[1, 2]", b"<html></html>"],
)
def test_a_file_that_is_no_chat_log_is_one_error(log, content):
    assert problem_with(log(content)).startswith("not a chat log: ")


def test_an_object_that_breaks_off_is_one_error_with_the_line(log):
    path = log(b"\n\n" + json.dumps(chat(), indent=1)[:-30].encode())
    line = path.read_text().count("\n") + 1
    assert f"at line {line}, column" in problem_with(path)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(log, content):
    assert problem_with(log(content)) == "the file is empty"


def test_an_empty_array_is_an_error(log):
    assert problem_with(log(b"[]")) == "no chats in this file: the array is empty"


def test_a_row_of_no_known_format_names_the_keys_seen_and_the_nearest_format(log):
    problem = problem_with(log(lines({"colour": "blue", "size": "4"})))
    assert problem.startswith("no known chat format: found the keys 'colour', 'size'; none of its keys")
    problem = problem_with(log(lines({"conversation_hash": "x", "messagess": []})))
    assert "nearest: wildchat (conversation and conversation_hash)" in problem


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": []}, "no messages"),
        ({"messages": None}, "the messages must be a list, not null"),
        ({"messages": "hello"}, "the messages must be a list, not str"),
        ({"conversations": {}}, "the messages must be a list, not dict"),
        ({"conversations": []}, "no messages"),
        ({"messages": ["hello"]}, "message 1: a message must be an object with role and content, not str"),
        ({"conversations": ["hello"]}, "message 1: a message must be an object with role and content, not str"),
        ({"messages": HELLO[:1]}, "no assistant message"),
        ({"messages": [*HELLO, {"role": "narrator", "content": "x"}]}, "message 3: unknown role 'narrator'"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "message 1: unknown role list"),
        ({"conversations": [{"from": "narrator", "value": "x"}]}, "message 1: unknown role 'narrator'"),
        ({"conversations": [{"from": {}, "value": "x"}]}, "message 1: unknown role dict"),
        ({"conversations": [{"from": "human", "value": None}]}, "message 1: content must be a string"),
        ({"messages": [*HELLO, {"role": "assistant"}]}, "message 3: no content"),
        ('{"messages": 1e999}', "the messages must be a list, not null"),
        ('{"messages": ' + "9" * 5000 + "}", "not JSON: Exceeds the limit"),
        ('{"messages": ' + "[" * 100_000 + "}", "JSON nested too deeply"),
        ("17", "no known chat format"),
    ],
)
def test_a_row_that_is_no_chat_is_refused_with_its_reason(log, row, problem):
    conversations, [(where, found)] = read(log(lines(chat(), row, chat("bye"))))
    assert texts(conversations) == ["hello", "bye"]
    assert where == "chats.jsonl:2"
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("goal", ["g"]),
        ("goal", {"text": 5}),
        ("reference", 42),
        ("id", {"a": 1}),
        ("id", True),
        ("metadata", [1]),
        ("metadata", "of no use"),
    ],
)
def test_one_odd_value_beside_the_messages_costs_itself_and_is_counted(log, key, value):
    notes = Counter()
    [conversation] = read_conversations([log(lines(chat(**{key: value})))], notes=notes)
    assert [message.content for message in conversation.messages] == ["hello", "hi"]
    assert notes == {f"values of {key} that are of no use, left out": 1}


@pytest.mark.slow
def test_nesting_near_the_limit_is_read_or_refused(log):
    calls = '{"messages": [{"role": "assistant", "tool_calls": [{"x": %s}]}]}'
    path = log(lines(*(calls % ("[" * depth + "]" * depth) for depth in range(800, 1000))))
    conversations, errors = read(path)
    assert len(conversations) + len(errors) == 200
    assert {problem for _, problem in errors} == {"JSON nested too deeply"}


def test_bytes_that_are_not_utf_8_cost_only_their_line(log):
    latin = json.dumps(chat("café"), ensure_ascii=False).encode("latin-1")
    conversations, errors = read(log(lines(chat("one")) + latin + b"\n" + lines(chat("two"))))
    assert texts(conversations) == ["one", "two"]
    assert errors == [("chats.jsonl:2", "not UTF-8 text: byte 0xe9 at column 47")]


def test_lone_surrogates_are_replaced_and_pairs_and_nul_bytes_kept(log):
    row = '{"messages": [{"role": "assistant", "content": "a\\ud800b \\ud83d\\ude00 \\u0000"}], "id": "\\uDFFF"}'
    conversation = read_one(log(lines(row)))
    assert conversation.messages[0].content == "a\ufffdb 😀 \0"
    assert conversation.id == "\ufffd"


# Ids


def test_a_row_without_an_id_gets_the_same_one_in_every_format_and_run(log):
    openai = log(lines(chat(id=None)), "a.jsonl")
    sharegpt = log(
        lines({"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}]}), "b.jsonl"
    )
    derived = read_one(openai).id
    assert derived.startswith("chat-")
    assert len(derived) == len("chat-") + 12
    assert read_one(sharegpt).id == derived


def test_the_same_chat_logged_again_is_kept_under_a_numbered_id(log):
    conversations, errors = read(log(lines(chat(), chat(), chat("other"), chat())))
    first = conversations[0].id
    assert errors == []
    assert [c.id for c in conversations if c.messages[0].content == "hello"] == [first, f"{first}-2", f"{first}-3"]


def test_a_second_row_with_an_id_already_taken_is_refused_also_across_files(log):
    first = log(lines(chat("one", id="a"), chat("two", id="a")), "1.jsonl")
    second = log(lines(chat("three", id="a")), "2.jsonl")
    conversations, errors = read(first, second)
    assert texts(conversations) == ["one"]
    assert [where for where, _ in errors] == ["1.jsonl:2", "2.jsonl:1"]
    assert errors[0][1].startswith("duplicate id 'a'")


# Counting


def test_conversations_are_counted_in_lines_arrays_gzip_and_folders(log, tmp_path):
    log(lines(chat(), "", chat(), "bad"), "logs/a.jsonl")
    log(json.dumps([chat()] * 4, indent=1).encode(), "logs/b.json")
    log(gzip.compress(lines(chat())), "logs/c.gz")
    log(b"no chats\n" * 30, "logs/readme.md")
    assert count_conversations([tmp_path / "logs"]) == 3 + 4 + 1


def test_stdin_and_pipes_are_not_counted_as_that_would_use_them_up(log, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert count_conversations([log(lines(chat())), "-"]) is None
    assert count_conversations([tmp_path / "pipe"]) is None


# Anything at all


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not beside this checkout")
def test_real_chats_are_read_whole():
    path = DATA / "coffee_chats.jsonl"
    conversations = list(read_conversations([path]))
    assert len(conversations) == count_conversations([path]) == 300
    assert all(conversation.goal and any(conversation.turns()) for conversation in conversations)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
words = st.sampled_from(["messages", "conversations", "role", "content", "from", "value", "tool_calls", "function"])
roles = st.sampled_from(["user", "assistant", "system", "tool", "human", "gpt", "function_call", "observation"])
anything = st.recursive(
    scalars | roles,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=3), inner, max_size=4),
    max_leaves=15,
)
keys = ("content", "value", "tool_calls", "function_call", "tool_call_id", "name")
messages = st.fixed_dictionaries(
    {}, optional={"role": roles | anything, "from": roles | anything, **dict.fromkeys(keys, anything)}
)
fields = ("id", "goal", "reference", "tools", "metadata", "schema", "system")
chats = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(messages, max_size=4) | anything,
        "conversations": st.lists(messages, max_size=4) | anything,
        **dict.fromkeys(fields, anything),
    },
)


@given(rows=st.lists(chats | anything, max_size=5), as_array=st.booleans())
def test_wild_json_raises_nothing_but_input_errors_and_what_is_read_can_be_written(tmp_path_factory, rows, as_array):
    path = tmp_path_factory.mktemp("wild") / "log"
    path.write_bytes(json.dumps(rows).encode() if as_array else lines(*rows))
    conversations, _ = read(path)
    with JsonlWriter(path.with_name("out")) as out:
        for conversation in conversations:
            out.write({"messages": [m.to_dict() for m in conversation.messages], "tools": list(conversation.tools)})


@given(content=st.binary(max_size=200))
def test_wild_bytes_raise_nothing_but_input_errors(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("wild") / "log"
    path.write_bytes(content)
    assert read(path)[0] == []
    path.write_bytes(b"\x1f\x8b" + content)
    assert read(path)[0] == []


@given(said=st.lists(st.text(), min_size=1, max_size=4), name=st.text(min_size=1))
def test_wild_text_comes_back_as_it_was_written(tmp_path_factory, said, name):
    path = tmp_path_factory.mktemp("wild") / "log.jsonl"
    with JsonlWriter(path) as out:
        out.write({"id": name, "messages": [{"role": "assistant", "content": text} for text in said]})
    conversation = read_one(path)
    assert conversation.id == name
    assert [message.content for message in conversation.messages] == said
